"""The messages on a socket of the live feed, in both directions."""

import json
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from chassis.http import Shape
from notifications.feed.errors import MalformedMessage
from notifications.feed.repository import Item

PING = '{"type":"ping"}'
RESET = '{"type":"reset"}'


class AuthMessage(Shape):
    """The first message: the access token, and the last event id that the client has seen."""

    type: Literal["auth"]
    token: Annotated[str, StringConstraints(min_length=1, max_length=8192, strip_whitespace=False)]
    last_event_id: (
        Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=r"^[0-9]{1,40}$")] | None
    ) = None

    @property
    def seen(self) -> int | None:
        """The last event id that the client has seen; None if the message has none."""
        return None if self.last_event_id is None else int(self.last_event_id)


class PongMessage(Shape):
    """The optional reply to a ping."""

    type: Literal["pong"]


def read_message[M: Shape](text: str, shape: type[M]) -> M:
    """Return a client's message, or raise MalformedMessage, which names the invalid fields."""
    try:
        return shape.model_validate_json(text)
    except ValidationError as error:
        places = ", ".join(
            ".".join(str(part) for part in one["loc"]) or "message" for one in error.errors()
        )
        expected = shape.model_fields["type"].annotation
        message = (
            f"The message is not valid: {places}. The feed accepts a JSON object of {expected} "
            "here. Correct the message."
        )
        raise MalformedMessage(message) from error


def ready(event_id: int) -> str:
    """Return the message `ready`: items after `event_id` follow."""
    return f'{{"type":"ready","event_id":{event_id}}}'


def item(entry: Item) -> str:
    """Return the message of one item. Its `data` is already JSON."""
    kind = json.dumps(entry.type)
    return f'{{"type":{kind},"event_id":{entry.event_id},"data":{entry.data}}}'


def problem(detail: str) -> str:
    """Return the message `error`, which gives the reason before the socket is closed."""
    return json.dumps({"type": "error", "detail": detail})
