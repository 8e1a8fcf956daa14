"""Bounds on how many requests of one kind a service handles at a time.

Without them, slow requests that anybody may send would hold all of the service's connections.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter

from chassis.errors import Unavailable
from gateway.routes import Route


class Bulkhead:
    """The places of one kind of request.

    Args:
        places: the number of places.
        refused: counts the requests that were rejected because no place was free.
    """

    def __init__(self, *, places: int, refused: Counter) -> None:
        self._places = places
        self._free = places
        self._refused = refused

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place until the context ends.

        Raises:
            Unavailable: no place is free. Waiting requests would only pile up in the gateway.
        """
        if self._free == 0:
            self._refused.inc()
            message = (
                f"The gateway is serving {self._places} requests of this kind, and accepts no "
                "more at a time. Send the request again in a moment."
            )
            raise Unavailable(message)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class Bulkheads:
    """All bulkheads.

    Args:
        places: the number of places of each class, by its name in the route table.
        registry: the registry of the counter.
    """

    def __init__(self, *, places: Mapping[str, int], registry: CollectorRegistry) -> None:
        refused = Counter(
            "gateway_bulkhead_refusals",
            "Requests that were rejected: their share of a service's connections was in use.",
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
