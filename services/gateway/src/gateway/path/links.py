"""What a route or a service may put between the client and the service.

All of it is synchronous and costs nothing on a route that has none.
"""

from typing import Literal, Protocol

from gateway.exchange import UpstreamAnswer, UpstreamRequest
from gateway.routes import Route

MAX_LINKED_BYTES = 1024 * 1024
"""The largest response that is held for the links of its route; a larger one passes them by."""

type Outcome = Literal["answered", "unreachable", "broken", "late", "cancelled"]
"""How an exchange with a service ended.

``answered`` includes every status. ``cancelled``: the client left, or sent no valid request.
"""


class Link(Protocol):
    """A step on the way of a request and its response: a cache, a representation."""

    def before(self, request: UpstreamRequest) -> UpstreamAnswer | None:
        """Return a response in place of the service's, or None; the fields may be changed.

        Raises:
            Refused: the request is answered with this.
            DomainError: likewise.
        """

    def after(self, request: UpstreamRequest, answer: UpstreamAnswer) -> UpstreamAnswer:
        """Return the response to pass on. It may be `answer`, changed or not."""


class Guard(Protocol):
    """Decides whether a service gets another request: a circuit breaker, a concurrency limit."""

    def begin(self) -> None:
        """Let a request pass; `end` follows.

        Raises:
            Unavailable: the service is not asked.
        """

    def end(self, outcome: Outcome, seconds: float) -> None:
        """Note how the exchange ended, and how long it took."""


class Duties(Protocol):
    """Finds the links and guards, once for each route."""

    def links(self, route: Route) -> tuple[Link, ...]:
        """Return the links of a route, in the order of `before`; `after` runs in the reverse."""

    def guard(self, service: str) -> Guard | None:
        """Return the guard of a service."""


class NoDuties:
    """No links, no guards."""

    def links(self, route: Route) -> tuple[Link, ...]:
        """Return no link."""
        del route
        return ()

    def guard(self, service: str) -> Guard | None:
        """Return no guard."""
        del service
        return None
