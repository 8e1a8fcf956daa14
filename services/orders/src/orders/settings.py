"""The settings of the orders service, read at start by both processes."""

from datetime import timedelta

from pydantic import Field

from chassis.wiring import ServiceSettings


class OrdersSettings(ServiceSettings):
    """Settings of the API process and of the worker."""

    order_confirmation_time: int = Field(
        default=24 * 3600,
        ge=60,
        le=90 * 24 * 3600,
        description="Seconds in which an order must be confirmed. After that, a job of the worker "
        "cancels it within a minute, and its stock can be sold again.",
    )

    @property
    def confirm_within(self) -> timedelta:
        """The time in which an order must be confirmed."""
        return timedelta(seconds=self.order_confirmation_time)
