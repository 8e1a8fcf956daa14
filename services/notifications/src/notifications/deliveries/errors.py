"""The errors of deliveries."""

from chassis.errors import NotFound


class DeliveryNotFound(NotFound):
    """The webhook has no such delivery.

    Deliveries are deleted after 30 days.
    """
