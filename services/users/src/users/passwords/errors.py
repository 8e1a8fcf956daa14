"""The errors of passwords."""

from chassis.errors import Forbidden


class WrongPassword(Forbidden):
    """The current password is wrong.

    The access token is valid, so this is not a 401: a client would refresh its tokens.
    """
