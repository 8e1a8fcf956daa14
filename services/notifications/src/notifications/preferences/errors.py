"""The errors of preferences."""

from chassis.errors import Invalid, NotFound


class SecurityNotificationsRequired(Invalid):
    """Security notifications can't be switched off.

    They tell the owner of an account what somebody else may have done to it.
    """


class AccountDeleted(NotFound):
    """The account was deleted.

    Its access tokens are rejected within moments.
    """
