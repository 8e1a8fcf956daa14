"""The errors of accounts."""

from chassis.errors import Conflict, Forbidden, NotFound


class EmailTaken(Conflict):
    """There is an account with this address."""


class AccountNotFound(NotFound):
    """There is no such user."""

    name = "user-not-found"


class LastAdmin(Conflict):
    """There must be an active administrator.

    The change would leave nobody who can administer.
    """


class EmailNotVerified(Forbidden):
    """The e-mail address of the account is not verified.

    A stranger may have registered it. So nothing that lasts can be added until its owner has
    confirmed it.
    """
