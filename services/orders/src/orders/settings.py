"""What the orders service reads at start, in either process."""

from chassis.wiring import ServiceSettings


class OrdersSettings(ServiceSettings):
    """Settings of the API process and of the worker."""
