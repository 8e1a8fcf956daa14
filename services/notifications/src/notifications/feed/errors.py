"""The errors for which the service closes a socket of the live feed."""

from chassis.errors import Malformed, TooManyRequests, Unauthenticated, Unavailable


class MalformedMessage(Malformed):
    """The message is not valid."""


class MessageTooLarge(Malformed):
    """The message is too large."""


class AuthenticationMissing(Unauthenticated):
    """No access token arrived in time."""


class TooManyMessages(TooManyRequests):
    """The client sends too many messages."""


class TooSlow(Unavailable):
    """The client reads too slowly."""


class TooManySockets(TooManyRequests):
    """The user has too many sockets."""

    def __init__(self, limit: int) -> None:
        detail = (
            f"You have {limit} sockets open, and one user may have no more than that in a server "
            "process. Close one, then connect again."
        )
        super().__init__(detail, retry_after=1)


class ProcessFull(Unavailable):
    """The process holds too many sockets."""

    def __init__(self, limit: int) -> None:
        detail = (
            f"This server process holds {limit} sockets, and may hold no more. "
            "Connect again in a moment, with your last_event_id."
        )
        super().__init__(detail, retry_after=5)
