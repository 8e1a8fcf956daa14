"""What can go wrong with customers."""

from chassis.errors import Forbidden


class CustomerInactive(Forbidden):
    """The account was deactivated: its token is still good, and it may order no more."""

    name = "customer-inactive"
    title = "This account is deactivated."
