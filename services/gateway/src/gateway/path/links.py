"""The links of each route and the guard of each service, as the data path uses them.

All of it is synchronous and costs nothing on a route that has none.
"""

from collections.abc import Mapping
from typing import Literal

from gateway.guards.guard import Guard, Result, result_of
from gateway.links.cache import Cache
from gateway.links.passage import RouteLinks
from gateway.routes import Route

type Outcome = Literal["answered", "unreachable", "broken", "late", "cancelled"]
"""How an exchange with a service ended.

``answered`` includes every status. ``cancelled``: the client left, or sent no valid request.
"""

_RESULTS: Mapping[Outcome, Result] = {
    "unreachable": Result.FAILED,
    "broken": Result.FAILED,
    "late": Result.TIMED_OUT,
    "cancelled": Result.UNKNOWN,
}


def guard_result(outcome: Outcome, status: int) -> Result:
    """Return what a guard learns from an exchange.

    Args:
        outcome: how it ended.
        status: the status of the service's response; 0 without one.
    """
    if outcome == "answered":
        return result_of(status) if status else Result.UNKNOWN
    return _RESULTS[outcome]


class Duties:
    """Finds the links and guards, once for each route.

    Args:
        cache: the process's cache; None keeps no copies.
        guards: the guards, by service.
    """

    def __init__(self, *, cache: Cache | None, guards: Mapping[str, Guard]) -> None:
        self._cache = cache
        self._guards = guards

    def links(self, route: Route) -> RouteLinks | None:
        """Return the links of a route; None for a stream."""
        return None if route.stream else RouteLinks(route, cache=self._cache)

    def guard(self, route: Route) -> Guard:
        """Return the guard of a route's service."""
        return self._guards[route.service]
