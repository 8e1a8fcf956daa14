"""Bounds on the WebSockets of this process, and on those that have not sent a message yet."""

import math
from collections import Counter
from typing import Self

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge

from chassis.errors import TooManyRequests, Unavailable
from gateway.addresses import limit_key

UNLIMITED = math.inf
_RETRY_AFTER_SECONDS = 5


class SocketMetrics:
    """The metrics of the WebSockets."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge("gateway_websockets", "WebSockets that are open.", registry=registry)
        self.refused = prometheus_client.Counter(
            "gateway_websockets_refused",
            "Handshakes that were rejected, by the bound that they would have exceeded.",
            ("bound",),
            registry=registry,
        )


class SocketPlace:
    """One socket's place among those of the process: a context, which gives it back at its end.

    Args:
        bounds: count the open sockets.
        silent: the number of sockets that have not sent their first message, by key.
        key: the limit key of the client's address.
    """

    __slots__ = ("_bounds", "_key", "_silent", "_spoke")

    def __init__(self, bounds: "SocketBounds", silent: Counter[str], key: str) -> None:
        self._bounds = bounds
        self._silent = silent
        self._key = key
        self._spoke = False
        silent[key] += 1

    def __enter__(self) -> Self:
        """Hold the place."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the place back."""
        self.spoke()
        self._bounds.count(-1)

    def spoke(self) -> None:
        """Stop counting the socket as silent. Repeated calls have no effect."""
        if self._spoke:
            return
        self._spoke = True
        self._silent[self._key] -= 1
        if not self._silent[self._key]:
            del self._silent[self._key]


class SocketBounds:
    """Gives each WebSocket a place, or rejects it.

    The gateway does not know the user of a socket: the token is in a message that the service
    reads. So the service enforces the bound per user.

    Args:
        limit: the most sockets of the process.
        limit_silent: the most sockets of one client address without a first message.
        metrics: the metrics to update.
    """

    def __init__(self, *, limit: int, limit_silent: float, metrics: SocketMetrics) -> None:
        self._limit = limit
        self._limit_silent = limit_silent
        self._metrics = metrics
        self._open = 0
        self._silent: Counter[str] = Counter()

    def place(self, address: str) -> SocketPlace:
        """Return a place for a socket of a client address, which is held until its context ends.

        Raises:
            Unavailable: the process already holds `limit` sockets.
            TooManyRequests: `limit_silent` sockets of the address have not sent their first
                message.
        """
        key = limit_key(address)
        self._check(key)
        self.count(1)
        return SocketPlace(self, self._silent, key)

    def count(self, more: int) -> None:
        """Count `more` open sockets."""
        self._open += more
        self._metrics.open.set(self._open)

    def _check(self, key: str) -> None:
        if self._open >= self._limit:
            self._metrics.refused.labels("process").inc()
            message = (
                f"This gateway process holds {self._limit} WebSockets, and may hold no more. "
                f"Connect again in {_RETRY_AFTER_SECONDS} s."
            )
            raise Unavailable(message, retry_after=_RETRY_AFTER_SECONDS)
        if self._silent[key] >= self._limit_silent:
            self._metrics.refused.labels("address").inc()
            message = (
                f"Your address has {self._limit_silent:g} WebSockets that have not sent their "
                "first message, and may have no more. Send it on those, or connect again in "
                f"{_RETRY_AFTER_SECONDS} s."
            )
            raise TooManyRequests(message, retry_after=_RETRY_AFTER_SECONDS)
