"""The errors of transitions."""

from chassis.errors import Conflict, Invalid


class InvalidTransition(Conflict):
    """The status of the order does not allow this."""


class DuplicateOrder(Invalid):
    """An order may stand in one item only."""
