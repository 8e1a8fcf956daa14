"""The errors of accounts."""

from chassis.errors import Conflict, NotFound


class EmailTaken(Conflict):
    """There is an account with this address."""


class AccountNotFound(NotFound):
    """There is no such user."""

    name = "user-not-found"


class LastAdmin(Conflict):
    """There must be an active administrator.

    The change would leave nobody who can administer.
    """
