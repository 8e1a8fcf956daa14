"""The messages on a socket of the feed, in and out."""

import json
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from chassis.http import Shape
from notifications.feed.errors import MalformedMessage
from notifications.feed.repository import Item

PING = '{"type":"ping"}'
RESET = '{"type":"reset"}'


class AuthMessage(Shape):
    """The first message: who listens, and what was seen last."""

    type: Literal["auth"]
    token: Annotated[str, StringConstraints(min_length=1, max_length=8192, strip_whitespace=False)]
    last_event_id: (
        Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=r"^[0-9]{1,40}$")] | None
    ) = None

    @property
    def seen(self) -> int | None:
        """The last event id that the client has seen; None where it gives none."""
        return None if self.last_event_id is None else int(self.last_event_id)


class PongMessage(Shape):
    """The answer to a ping; it may be left out."""

    type: Literal["pong"]


def read_message[M: Shape](text: str, shape: type[M]) -> M:
    """Read a client's message; MalformedMessage says what does not fit."""
    try:
        return shape.model_validate_json(text)
    except ValidationError as error:
        places = ", ".join(
            ".".join(str(part) for part in one["loc"]) or "message" for one in error.errors()
        )
        expected = shape.model_fields["type"].annotation
        message = f"expected a JSON object of {expected} here; wrong: {places}"
        raise MalformedMessage(message) from error


def ready(event_id: int) -> str:
    """Say that items follow, beginning behind `event_id`."""
    return f'{{"type":"ready","event_id":{event_id}}}'


def item(entry: Item) -> str:
    """Write one item; its data are JSON already."""
    kind = json.dumps(entry.type)
    return f'{{"type":{kind},"event_id":{entry.event_id},"data":{entry.data}}}'


def problem(detail: str) -> str:
    """Say why the socket is about to be closed."""
    return json.dumps({"type": "error", "detail": detail})
