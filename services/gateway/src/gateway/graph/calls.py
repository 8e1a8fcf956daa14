"""What GraphQL needs of the services: two protocols, which `gateway.graph.gate` implements."""

from typing import Protocol

from chassis.errors import DomainError, Forbidden, TooManyRequests, Unauthenticated
from gateway.exchange import UpstreamAnswer

UNAUTHENTICATED = 4401
_FORBIDDEN, _TOO_MANY = 4403, 4429
_RETRY_AFTER_SECONDS = 5

type Fields = list[tuple[str, str]]


class Calls(Protocol):
    """Calls services over HTTP."""

    async def call(
        self,
        service: str,
        method: str,
        target: str,
        *,
        fields: Fields,
        body: bytes | None,
        deadline: float,
    ) -> UpstreamAnswer:
        """Send a request, and return the whole response.

        Args:
            service: the service's name in the route table.
            method: the method.
            target: path and query, encoded.
            fields: all fields of the head.
            body: the body; None for no body.
            deadline: the time, by the loop's clock, at which the call is given up. The request
                carries the time left.

        Raises:
            Unavailable: the service is unreachable; nothing was sent.
            Refused: 502 or 504. The service returned no valid response in time.
        """


class FeedSocket(Protocol):
    """An open connection to the live feed."""

    async def send(self, text: str) -> None:
        """Send a message; a lost connection is reported by `receive`."""

    async def receive(self) -> str:
        """Return the next message, or raise FeedClosed."""

    async def close(self) -> None:
        """Close the connection."""


class Feeds(Protocol):
    """Opens connections to the live feed."""

    async def open(self, fields: Fields) -> FeedSocket:
        """Open one, or raise FeedClosed."""


class FeedClosed(Exception):
    """The live feed ended.

    Args:
        code: the close code; those of docs/guides/live-feed.md.
        reason: why.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(reason or f"closed with {code}")
        self.code = code
        self.reason = reason

    @property
    def problem(self) -> DomainError | None:
        """Why the caller may not follow the feed; None if it may connect again."""
        detail = self.reason or None
        if self.code == UNAUTHENTICATED:
            return Unauthenticated(detail)
        if self.code == _FORBIDDEN:
            return Forbidden(detail)
        if self.code == _TOO_MANY:
            return TooManyRequests(detail, retry_after=_RETRY_AFTER_SECONDS)
        return None
