"""The shapes of deliveries over HTTP, and in the export of a person's data."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from chassis.http import BoundedInt, Id, Shape
from chassis.times import Moment
from notifications.deliveries.models import ATTEMPTS_KEPT
from notifications.receivers.errors import Fault

State = Literal["waiting", "delivered", "failed"]


class AttemptOut(Shape):
    """One request, and what came back."""

    at: Moment = Field(description="When it was sent.")
    duration_ms: BoundedInt = Field(
        description="From the start to the end of the response, or to the error."
    )
    status: BoundedInt | None = Field(
        description="The status of the response; null: there was no valid response."
    )
    error: str | None = Field(
        description=f"Why there was no valid response: {', '.join(Fault)}. null: there was one."
    )
    response: str | None = Field(
        description="The first 500 characters of the response's body; null: there was none."
    )


class DeliveryOut(Shape):
    """One notification to one webhook."""

    id: Id = Field(description="The `webhook-id` of its requests: the same in each attempt.")
    webhook_id: Id
    notification_id: Id | None = Field(description="null: it is a test call.")
    type: str
    state: State = Field(
        description="`waiting`: for its first or next attempt; `delivered`: a request got a 2xx; "
        "`failed`: given up."
    )
    attempts: list[AttemptOut] = Field(description=f"The last {ATTEMPTS_KEPT}, oldest first.")
    next_attempt_at: datetime | None = Field(
        description="The earliest time of the next attempt; null unless it waits."
    )
    created_at: datetime
    settled_at: datetime | None = Field(
        description="When it was delivered or given up; null: it waits."
    )


class ExportedDelivery(Shape):
    """A delivery to a webhook. Its content is that of the notification."""

    id: Id
    webhook_id: Id
    type: str
    state: State
    attempt_count: int
    created_at: datetime
    settled_at: datetime | None
