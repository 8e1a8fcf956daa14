"""A customer's live feed, in a greenlet of its own; `sockets` and `streams` are its transports."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import gevent

LIMIT_SECONDS = 10.0
_LOOK_SECONDS = 0.1

type Report = Callable[[str, float, Exception | None], None]
"""Called with a route class, milliseconds, and what went wrong."""


class FeedError(Exception):
    """The feed can't be opened, or has ended."""


class NoPushError(Exception):
    """An order's notification did not arrive in time."""


class Feed(ABC):
    """One feed; reports each push with the time since its order was sent.

    Args:
        host: the address of the gateway.
        address: from which the customer seems to come.
        token: an access token.
        report: counts what happened.

    Raises:
        FeedError: it can't be opened; that was reported.
    """

    opening: ClassVar[str]
    """The class of routes of its opening."""
    pushing: ClassVar[str]
    """The class of its pushes."""

    def __init__(self, host: str, address: str, token: str, report: Report) -> None:
        self._host = host
        self._address = address
        self._report = report
        self._sent: dict[str, float] = {}
        self._arrived: dict[str, float] = {}
        self._open_in_time(token)
        self._reader = gevent.spawn(self._read)

    def expect(self, order_id: str, sent_at: float) -> None:
        """Expect the push of an order that was sent at this time of `perf_counter`."""
        self._sent[order_id] = sent_at
        self._match(order_id)

    @abstractmethod
    def renew(self, token: str) -> None:
        """Let the feed go on with a new token."""

    def miss(self) -> None:
        """Report the pushes that are overdue as failures."""
        now = time.perf_counter()
        for order_id, sent_at in list(self._sent.items()):
            if now - sent_at > LIMIT_SECONDS:
                del self._sent[order_id]
                error = NoPushError(f"no push within {LIMIT_SECONDS:g} s")
                self._report(self.pushing, LIMIT_SECONDS * 1000, error)

    def close(self) -> None:
        """Wait for the pushes that are still to come, and close."""
        while self._sent:
            gevent.sleep(_LOOK_SECONDS)
            self.miss()
        self._reader.kill()
        self._close()

    @abstractmethod
    def _open(self, token: str) -> None:
        """Open a connection whose feed is ready; raise FeedError if that fails."""

    @abstractmethod
    def _items(self) -> Iterator[Mapping[str, Any]]:
        """Yield the notifications that are pushed; raise FeedError at the end."""

    @abstractmethod
    def _close(self) -> None:
        """Close the connection."""

    def _open_in_time(self, token: str) -> None:
        began = time.perf_counter()
        try:
            self._open(token)
        except FeedError as error:
            self._report(self.opening, 0.0, error)
            raise
        self._report(self.opening, (time.perf_counter() - began) * 1000, None)

    def _read(self) -> None:
        try:
            for notification in self._items():
                self._take(notification)
        except FeedError as error:
            self._report(self.opening, 0.0, error)

    def _take(self, notification: Mapping[str, Any]) -> None:
        data = notification.get("data")
        if notification.get("type") == "order.placed" and isinstance(data, dict):
            self._arrived[data["order_id"]] = time.perf_counter()
            self._match(data["order_id"])

    def _match(self, order_id: str) -> None:
        """Report the push once both the order's response and its notification are here."""
        if order_id in self._sent and order_id in self._arrived:
            took = self._arrived.pop(order_id) - self._sent.pop(order_id)
            self._report(self.pushing, took * 1000, None)
