"""One request to a service: it waits for a connection, is sent, and gets a response or fails."""

from typing import TYPE_CHECKING, Protocol

from gateway.exchange import SAFE_METHODS

if TYPE_CHECKING:
    from gateway.pool.connection import UpstreamConnection
    from gateway.pool.pool import Pool


class Broken(Exception):
    """The service was sent a request and gave no valid response."""


class Receiver(Protocol):
    """Sends the request of a call, and takes its response. No method may raise."""

    def on_connection(self) -> None:
        """Write the request; called again if the call is sent a second time."""

    def on_writable(self) -> None:
        """Write more of the request: the service takes it again."""

    def on_head(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Take the status and the fields of the response."""

    def on_part(self, data: bytes) -> None:
        """Take a part of the body."""

    def on_parsed(self) -> None:
        """Pass on what came: all that arrived together was taken."""

    def on_end(self) -> None:
        """Take the end of the response."""

    def on_unreachable(self, error: Exception) -> None:
        """Take the failure of a call of which nothing was sent."""

    def on_broken(self, error: Broken) -> None:
        """Take the failure of a call that may have taken effect."""


class Call:
    """A request and its response.

    States: waiting (for a connection) → sending → answered (its response has begun) → ended. A
    call whose connection ended before any byte of the response is sent a second time if its method
    is safe and it has no body: services close connections that were idle for long.

    Args:
        pool: the service's connections.
        receiver: sends the request and takes the response.
        method: the request's method.
        has_body: whether the request has a body.

    Attributes:
        repeatable: whether it is sent a second time if its connection ends before the response.
        sent: whether the whole request was written; the receiver sets it.
        answered: whether the response has begun.
        head_only: whether the response has no body, whatever its head says (RFC 9110 §9.3.2).
    """

    __slots__ = (
        "_pool",
        "answered",
        "connection",
        "ended",
        "head_only",
        "receiver",
        "repeatable",
        "sent",
    )

    def __init__(self, pool: "Pool", receiver: Receiver, *, method: bytes, has_body: bool) -> None:
        self._pool = pool
        self.repeatable = method in SAFE_METHODS and not has_body
        self.receiver = receiver
        self.connection: UpstreamConnection | None = None
        self.sent = False
        self.answered = False
        self.ended = False
        self.head_only = method == b"HEAD"

    def begin(self) -> None:
        """Take a connection, or wait for one."""
        self._pool.acquire(self)

    def take(self, connection: "UpstreamConnection") -> None:
        """Send the request on `connection`; called by the pool."""
        self.connection = connection
        connection.begin(self)
        self.receiver.on_connection()

    def cancel(self) -> None:
        """End the call; its receiver is told nothing."""
        if self.ended:
            return
        self.ended = True
        if self.connection is None:
            self._pool.forget(self)
        else:
            self.connection.abort()

    def on_head(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Pass the head on."""
        self.answered = True
        self.receiver.on_head(status, fields)

    def on_end(self) -> None:
        """Pass on the end of the response."""
        if not self.ended:
            self.ended = True
            self.receiver.on_end()

    def on_unreachable(self, error: Exception) -> None:
        """Pass on that no connection could be opened."""
        if not self.ended:
            self.ended = True
            self.receiver.on_unreachable(error)

    def on_lost(self, error: Exception, *, heard: bool) -> None:
        """Send the request again after the loss of its connection, or pass the loss on."""
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
        self.receiver.on_broken(broken)
