"""The errors of a client's messages on a socket."""

from chassis.errors import Forbidden, Malformed, TooManyRequests, Unauthenticated


class MalformedMessage(Malformed):
    """The message is not valid."""


class MessageTooLarge(Malformed):
    """The message is too large."""


class AuthenticationMissing(Unauthenticated):
    """No access token arrived in time."""


class TooManyMessages(TooManyRequests):
    """The client sends too many messages."""


class OtherUser(Forbidden):
    """The access token belongs to another user."""
