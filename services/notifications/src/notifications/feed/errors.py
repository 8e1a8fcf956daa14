"""The errors of the live feed: why a connection is closed, or a user has no feed any more."""

from chassis.errors import NotFound, TooManyRequests, Unavailable


class AccountDeleted(NotFound):
    """The account was deleted.

    Its access tokens are rejected within moments.
    """


class TooSlow(Unavailable):
    """The client reads too slowly."""


class ServerStopping(Unavailable):
    """The server process stops.

    Args:
        reconnect_ms: the milliseconds that the client should wait before it connects again. They
            are random, so that the clients of a process do not all connect in the same moment.
    """

    def __init__(self, reconnect_ms: int) -> None:
        detail = (
            f"This server process stops. Connect again in {reconnect_ms} ms, with your "
            "last_event_id."
        )
        super().__init__(detail, retry_after=max(1, -(-reconnect_ms // 1000)))
        self.reconnect_ms = reconnect_ms


class TooManySockets(TooManyRequests):
    """The user has too many sockets."""

    def __init__(self, limit: int) -> None:
        detail = (
            f"You have {limit} sockets and streams open, and one user may have no more than that "
            "in a server process. Close one, then connect again."
        )
        super().__init__(detail, retry_after=1)


class ProcessFull(Unavailable):
    """The process holds too many sockets."""

    def __init__(self, limit: int) -> None:
        detail = (
            f"This server process holds {limit} sockets and streams, and may hold no more. "
            "Connect again in a moment, with your last_event_id."
        )
        super().__init__(detail, retry_after=5)
