"""The HTTP shapes of tickets and streams, and the events of a stream."""

import json
from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from chassis.errors import DomainError
from chassis.http import QueryShape, Shape
from notifications.feed.repository import Item

HEARTBEAT = ": ping\n\n"
RESET = "event: reset\ndata: {}\n\n"

EventId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,40}$")]


class StreamTicketOut(Shape):
    """A ticket for one stream."""

    ticket: str = Field(
        description="The value of the query parameter `ticket`. It is accepted once."
    )
    expires_at: datetime = Field(description="When it is no longer accepted: 30 s after its issue.")


class StreamQuery(QueryShape):
    """How to open a stream without headers, as `EventSource` must."""

    ticket: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        default=None, description="A stream ticket, in place of the header Authorization."
    )
    last_event_id: EventId | None = Field(
        default=None,
        description="Items after this one follow, unless the header Last-Event-ID says otherwise. "
        "0: all that are kept; missing: new ones only.",
    )


def retry(milliseconds: int) -> str:
    """Return the field that says how long a client waits before it connects again."""
    return f"retry: {milliseconds}\n\n"


def ready(event_id: int) -> str:
    """Return the event `ready`: items after `event_id` follow. A client resumes from it."""
    return f'id: {event_id}\nevent: ready\ndata: {{"event_id":{event_id}}}\n\n'


def item(entry: Item) -> str:
    """Return the event of one item. Its `data` is already JSON, in one line."""
    return f"id: {entry.event_id}\nevent: {entry.type}\ndata: {entry.data}\n\n"


def closing(error: DomainError) -> str:
    """Return the event `error`, which gives the reason before the stream ends."""
    body = json.dumps({"problem": error.name, "detail": error.detail})
    return f"event: error\ndata: {body}\n\n"
