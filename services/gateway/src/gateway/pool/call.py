"""One request to a service: it waits for a connection, is sent, and gets a response or fails."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from gateway.exchange import SAFE_METHODS

if TYPE_CHECKING:
    from gateway.pool.connection import UpstreamConnection
    from gateway.pool.pool import Pool


class Broken(Exception):
    """The service was sent a request and gave no valid response."""


class Call(ABC):
    """A request and its response. A subclass sends the one and takes the other.

    States: waiting (for a connection) → sending → ended. A call whose connection ended before any
    byte of the response is sent a second time if its method is safe and it has no body: services
    close connections that were idle for long. A call of which nothing was sent may begin again.

    No method that a subclass defines may raise.

    Args:
        pool: the service's connections.
        method: the request's method.
        has_body: whether the request has a body.

    Attributes:
        connection: the connection that carries it; None while it waits.
        repeatable: whether it is sent a second time if its connection ends before the response.
        sent: whether the whole request was written; the subclass sets it.
        ended: whether it has ended; the subclass is told nothing more.
        head_only: whether the response has no body, whatever its head says (RFC 9110 §9.3.2).
    """

    __slots__ = ("_pool", "connection", "ended", "head_only", "repeatable", "sent")

    def __init__(self, pool: "Pool", *, method: bytes, has_body: bool) -> None:
        self._pool = pool
        self.repeatable = method in SAFE_METHODS and not has_body
        self.connection: UpstreamConnection | None = None
        self.sent = False
        self.ended = False
        self.head_only = method == b"HEAD"

    # What a subclass defines.

    @abstractmethod
    def on_connection(self, connection: "UpstreamConnection") -> None:
        """Write the request; called again if the call is sent a second time."""

    @abstractmethod
    def on_writable(self) -> None:
        """Write more of the request: the service takes it again."""

    @abstractmethod
    def on_head(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Take the status and the fields of the response."""

    @abstractmethod
    def on_part(self, data: bytes) -> None:
        """Take a part of the body."""

    @abstractmethod
    def on_parsed(self) -> None:
        """Pass on what came: all that arrived together was taken, and more will follow."""

    @abstractmethod
    def on_end(self) -> None:
        """Take the end of the response."""

    @abstractmethod
    def on_unreachable(self, error: Exception) -> None:
        """Take the failure of a call of which nothing was sent."""

    @abstractmethod
    def on_broken(self, error: Broken) -> None:
        """Take the failure of a call that may have taken effect."""

    # Its course.

    def begin(self) -> None:
        """Take a connection, or wait for one."""
        self.ended = False
        self._pool.acquire(self)

    def cancel(self) -> None:
        """End the call; its subclass is told nothing."""
        if self.ended:
            return
        self.ended = True
        if self.connection is None:
            self._pool.forget(self)
        else:
            self.connection.abort()

    def fail(self, error: Exception) -> None:
        """End the call because no connection could be opened."""
        if not self.ended:
            self.ended = True
            self.on_unreachable(error)

    def lose(self, error: Exception, *, heard: bool) -> None:
        """Send the request again after the loss of its connection, or end the call.

        Args:
            error: why the connection ended.
            heard: whether a byte of the response arrived.
        """
        if self.ended:
            return
        connection = self.connection
        if connection is not None and connection.carried:
            # One dead idle connection usually means that the replica was stopped.
            self._pool.distrust(connection.address)
        if self.repeatable and not heard:
            self.repeatable = False
            self.connection = None
            self.sent = False
            self._pool.acquire(self)
            return
        self.ended = True
        broken = Broken(f"{type(error).__name__}: {error}")
        broken.__cause__ = error
        self.on_broken(broken)
