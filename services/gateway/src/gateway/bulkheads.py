"""Bounds on how many requests of one kind a service handles at a time.

Without them, slow requests that anybody may send would hold all of the service's connections.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter

from chassis.errors import TooManyRequests, Unavailable
from gateway.routes import Route

_WAIT_SECONDS = 5


class Bulkhead:
    """The places of one kind of request.

    Args:
        places: the number of places.
        refused: counts the requests that were rejected because no place was free for them.
    """

    def __init__(self, *, places: int, refused: Counter) -> None:
        self._places = places
        self._free = places
        self._holders: set[UUID] = set()
        self._refused = refused

    @contextmanager
    def place(self, holder: UUID | None = None) -> Iterator[None]:
        """Hold a place until the context ends; see `take`."""
        self.take(holder)
        try:
            yield
        finally:
            self.give_back(holder)

    def take(self, holder: UUID | None = None) -> None:
        """Take a place, which the caller gives back.

        Args:
            holder: the user who holds it, if one user may hold only one place. Otherwise a few
                requests of one user could refuse all others.

        Raises:
            TooManyRequests: `holder` holds a place.
            Unavailable: no place is free. Waiting requests would only pile up in the gateway.
        """
        if holder is not None and holder in self._holders:
            self._refused.inc()
            message = (
                "The gateway is still serving your last request of this kind, and serves one at a "
                f"time. Wait for its response, or send this one again in {_WAIT_SECONDS} s."
            )
            raise TooManyRequests(message, retry_after=_WAIT_SECONDS)
        if self._free == 0:
            self._refused.inc()
            message = (
                f"The gateway is serving {self._places} requests of this kind, and accepts no "
                "more at a time. Send the request again in a moment."
            )
            raise Unavailable(message)
        self._free -= 1
        if holder is not None:
            self._holders.add(holder)

    def give_back(self, holder: UUID | None = None) -> None:
        """Give back a place that was taken for `holder`."""
        self._free += 1
        if holder is not None:
            self._holders.discard(holder)


class Bulkheads:
    """All bulkheads.

    Args:
        places: the number of places of each class, by its name in the route table.
        registry: the registry of the counter.
    """

    def __init__(self, *, places: Mapping[str, int], registry: CollectorRegistry) -> None:
        refused = Counter(
            "gateway_bulkhead_refusals",
            "Requests that were rejected: all places of their kind, or their user's, were in use.",
            ("bulkhead",),
            registry=registry,
        )
        self._bulkheads = {
            name: Bulkhead(places=number, refused=refused.labels(name))
            for name, number in places.items()
        }

    def of(self, route: Route) -> Bulkhead | None:
        """Return the bulkhead of a route, or None if it has none."""
        return None if route.bulkhead is None else self._bulkheads[route.bulkhead]
