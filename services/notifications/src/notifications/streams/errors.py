"""The errors of streams."""

from chassis.errors import Unauthenticated


class InvalidStreamTicket(Unauthenticated):
    """The stream ticket is not valid."""
