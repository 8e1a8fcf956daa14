"""The errors of customers."""

from chassis.errors import Forbidden


class CustomerInactive(Forbidden):
    """This account is deactivated.

    Its token is still good, and it may order no more.
    """
