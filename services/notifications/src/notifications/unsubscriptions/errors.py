"""The errors of unsubscriptions."""

from chassis.errors import NotFound


class UnsubscribeTokenInvalid(NotFound):
    """The token is of no mail that this system has sent.

    Its last characters may be missing, or the keys that sign such tokens have changed.
    """
