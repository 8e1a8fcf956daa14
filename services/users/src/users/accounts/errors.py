"""What can go wrong with accounts."""

from chassis.errors import Conflict, NotFound


class EmailTaken(Conflict):
    """The address belongs to an account already."""

    name = "email-taken"
    title = "There is an account with this address."


class AccountNotFound(NotFound):
    """No account has this id."""

    name = "user-not-found"
    title = "There is no such user."
