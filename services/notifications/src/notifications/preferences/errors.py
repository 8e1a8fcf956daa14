"""The errors of preferences."""

from chassis.errors import Invalid


class SecurityNotificationsRequired(Invalid):
    """Security notifications can't be switched off.

    They tell the owner of an account what somebody else may have done to it.
    """
