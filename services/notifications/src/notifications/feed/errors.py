"""Why a socket of the feed is closed by this side."""

from chassis.errors import Malformed, TooManyRequests, Unauthenticated, Unavailable


class MalformedMessage(Malformed):
    """A message that is none of those that the feed takes."""

    name = "malformed-message"
    title = "The message is none that the feed takes."


class MessageTooLarge(Malformed):
    """A message that is longer than any that the feed takes."""

    name = "message-too-large"
    title = "The message is too large."


class AuthenticationMissing(Unauthenticated):
    """The token did not come in time."""

    name = "authentication-missing"
    title = "The first message, with the token, did not come in time."


class TooManyMessages(TooManyRequests):
    """The client sends more than the feed reads."""

    name = "too-many-messages"
    title = "Too many messages."


class TooSlow(Unavailable):
    """The client reads more slowly than it is sent to."""

    name = "too-slow"
    title = "The client reads too slowly."
