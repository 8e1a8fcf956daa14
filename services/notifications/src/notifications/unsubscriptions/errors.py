"""The errors of unsubscriptions."""

from chassis.errors import Invalid


class InvalidUnsubscribeToken(Invalid):
    """The token is not valid.

    Its last characters may be missing, or the keys that sign such tokens were replaced.
    """
