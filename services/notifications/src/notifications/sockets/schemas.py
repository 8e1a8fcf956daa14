"""The messages on a socket of the live feed, in both directions."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import pydantic_core
from pydantic import Field, StringConstraints, ValidationError

from chassis.errors import DomainError
from chassis.http import Id, Shape
from chassis.messaging.asyncapi import Socket, SocketMessage
from notifications.feed.errors import ServerStopping
from notifications.feed.repository import Item
from notifications.kinds.models import Category
from notifications.sockets.errors import MalformedMessage

PING = '{"type":"ping"}'
RESET = '{"type":"reset"}'

_MAX_ID = 64

CommandId = Annotated[
    str, StringConstraints(min_length=1, max_length=_MAX_ID, strip_whitespace=False)
]
Token = Annotated[str, StringConstraints(min_length=1, max_length=8192, strip_whitespace=False)]


class AuthMessage(Shape):
    """The first message: the access token, and the last event id that the client has seen."""

    type: Literal["auth"]
    token: Token = Field(description="An access token with the scope `notifications:read`.")
    last_event_id: (
        Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=r"^[0-9]{1,40}$")] | None
    ) = Field(
        default=None,
        description="Items after this one follow. 0: all that are kept; missing: new ones only.",
    )

    @property
    def seen(self) -> int | None:
        """The last event id that the client has seen; None if the message has none."""
        return None if self.last_event_id is None else int(self.last_event_id)


class PongMessage(Shape):
    """The optional reply to a `ping`; it has no result."""

    type: Literal["pong"]


class MarkReadCommand(Shape):
    """Marks one of the user's notifications as read. `data` of the result is the notification."""

    type: Literal["mark_read"]
    id: CommandId
    notification_id: Id


class FilterCommand(Shape):
    """Sends only notifications of these categories from now on; `null` sends all again.

    Items that are left out are not sent later, and their event ids are missing in between.
    """

    type: Literal["filter"]
    id: CommandId
    categories: (
        Annotated[list[Annotated[Category, Field(strict=False)]], Field(max_length=len(Category))]
        | None
    )


class RenewCommand(Shape):
    """Continues the socket with a newer access token of the same user.

    `data` of the result has `expires_at`, the time at which that token expires.
    """

    type: Literal["renew"]
    id: CommandId
    token: Token


class PingCommand(Shape):
    """Asks for a result, to test the connection."""

    type: Literal["ping"]
    id: CommandId


Command = MarkReadCommand | FilterCommand | RenewCommand | PingCommand

COMMANDS: Mapping[str, type[Command]] = {
    "mark_read": MarkReadCommand,
    "filter": FilterCommand,
    "renew": RenewCommand,
    "ping": PingCommand,
}
"""The shape of each command, by its type."""


class ReadyMessage(Shape):
    """The answer to `auth`: items after `event_id` follow."""

    type: Literal["ready"]
    event_id: int


class ItemMessage(Shape):
    """One item of the feed. `data` of a notification is as the list shows it."""

    type: Literal["notification", "order"]
    event_id: int = Field(ge=1, description="The number in the user's feed; without gaps.")
    data: dict[str, Any]


class ResetMessage(Shape):
    """The `last_event_id` is unknown or no longer kept: read the list again, then go on."""

    type: Literal["reset"]


class PingMessage(Shape):
    """A heartbeat. A `pong` is welcome, but not needed."""

    type: Literal["ping"]


class ResultMessage(Shape):
    """The answer to a command that succeeded."""

    type: Literal["result"]
    id: str = Field(description="The id of the command.")
    data: dict[str, Any]


class ErrorMessage(Shape):
    """A command that failed, if it has an `id`; else the reason for which the socket is closed."""

    type: Literal["error"]
    id: str | None = Field(
        default=None, description="The id of the command; null if the command has no valid one."
    )
    problem: str = Field(description="The last part of the type of the problem.")
    detail: str = Field(description="What was wrong, and what to do.")
    reconnect_ms: int | None = Field(
        default=None, description="With close code 1012: how long to wait before connecting again."
    )


def read_message[M: Shape](text: str, shape: type[M]) -> M:
    """Return a client's message, or raise MalformedMessage, which names the invalid fields."""
    try:
        return shape.model_validate_json(text)
    except ValidationError as error:
        expected = shape.model_fields["type"].annotation
        message = (
            f"The message is not valid: {_places(error)}. The feed accepts a JSON object of "
            f"{expected} here. Correct the message."
        )
        raise MalformedMessage(message) from error


def read_object(text: str) -> dict[str, Any]:
    """Return the JSON object in a client's message, or raise MalformedMessage."""
    try:
        document = pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError as error:
        message = f"The message is not valid JSON: {error}. Send a JSON object."
        raise MalformedMessage(message) from error
    if not isinstance(document, dict):
        message = "The message is not a JSON object. Send a command, or a `pong`."
        raise MalformedMessage(message)
    return document


def id_of(document: dict[str, Any]) -> str | None:
    """Return the id of a command that may not be valid; None if the id itself is not."""
    given = document.get("id")
    return given if isinstance(given, str) and 0 < len(given) <= _MAX_ID else None


def read_command(document: dict[str, Any], text: str) -> Command:
    """Return the command in a client's message.

    Args:
        document: the object in the message.
        text: the message.

    Raises:
        MalformedMessage: it names the invalid fields, or the commands that there are.
    """
    kind = str(document.get("type"))
    if kind in COMMANDS:
        return read_message(text, COMMANDS[kind])
    message = (
        f"The feed does not accept the message type {kind[:_MAX_ID]!r}. Accepted are: pong, "
        f"{', '.join(COMMANDS)}."
    )
    raise MalformedMessage(message)


def _places(error: ValidationError) -> str:
    return ", ".join(
        ".".join(str(part) for part in one["loc"]) or "message" for one in error.errors()
    )


def ready(event_id: int) -> str:
    """Return the message `ready`: items after `event_id` follow."""
    return f'{{"type":"ready","event_id":{event_id}}}'


def item(entry: Item) -> str:
    """Return the message of one item. Its `data` is already JSON."""
    kind = json.dumps(entry.type)
    return f'{{"type":{kind},"event_id":{entry.event_id},"data":{entry.data}}}'


def result(command: Command, data: dict[str, Any]) -> str:
    """Return the message `result` of a command."""
    return json.dumps({"type": "result", "id": command.id, "data": data})


def refusal(command_id: str | None, error: DomainError) -> str:
    """Return the message `error` of a command that failed."""
    return json.dumps(
        {"type": "error", "id": command_id, "problem": error.name, "detail": error.detail}
    )


def closing(error: DomainError) -> str:
    """Return the message `error`, which gives the reason before the socket is closed."""
    body: dict[str, Any] = {"type": "error", "problem": error.name, "detail": error.detail}
    if isinstance(error, ServerStopping):
        body["reconnect_ms"] = error.reconnect_ms
    return json.dumps(body)


def time_of(seconds: int) -> str:
    """Return a time in seconds since 1970 as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


_UUID = "0190f3a4-0000-7000-8000-000000000001"
_NOTIFICATION = {
    "id": _UUID,
    "event_id": 7,
    "type": "order.shipped",
    "title": "Order shipped",
    "body": f"Your order {_UUID} is on its way.",
    "data": {"order_id": _UUID},
    "created_at": "2026-01-02T03:04:05.000000Z",
    "read_at": None,
}

LIVE_FEED = Socket(
    name="notifications.feed",
    service="notifications",
    address="/api/v1/notifications/ws",
    about=(
        "The live feed of one user. The client's first message is `auth`, within 5 s; the answer "
        "is `ready`, and then each item in order, each once. Connect again with the last "
        "`event_id` as `last_event_id`, and what was missed comes first. After `auth` the client "
        "may send commands; each is answered with a `result` or an `error` that has its `id`. It "
        "may send 60 messages at once, then 5 each second, of 16,384 characters at most. `GET "
        "/api/v1/notifications/stream` sends the same items as server-sent events."
    ),
    received=(
        SocketMessage(
            name="auth",
            shape=AuthMessage,
            example={"type": "auth", "token": "eyJ…", "last_event_id": 6},
        ),
        SocketMessage(name="pong", shape=PongMessage, example={"type": "pong"}),
        SocketMessage(
            name="mark_read",
            shape=MarkReadCommand,
            example={"type": "mark_read", "id": "1", "notification_id": _UUID},
        ),
        SocketMessage(
            name="filter",
            shape=FilterCommand,
            example={"type": "filter", "id": "2", "categories": ["orders"]},
        ),
        SocketMessage(
            name="renew",
            shape=RenewCommand,
            example={"type": "renew", "id": "3", "token": "eyJ…"},
        ),
        SocketMessage(name="ping", shape=PingCommand, example={"type": "ping", "id": "4"}),
    ),
    sent=(
        SocketMessage(name="ready", shape=ReadyMessage, example={"type": "ready", "event_id": 6}),
        SocketMessage(
            name="item",
            shape=ItemMessage,
            example={"type": "notification", "event_id": 7, "data": _NOTIFICATION},
        ),
        SocketMessage(name="reset", shape=ResetMessage, example={"type": "reset"}),
        SocketMessage(name="heartbeat", shape=PingMessage, example={"type": "ping"}),
        SocketMessage(
            name="result",
            shape=ResultMessage,
            example={"type": "result", "id": "1", "data": _NOTIFICATION},
        ),
        SocketMessage(
            name="error",
            shape=ErrorMessage,
            example={
                "type": "error",
                "id": "2",
                "problem": "malformed-message",
                "detail": "The message is not valid: categories.",
            },
        ),
    ),
    close_codes={
        1002: "A frame is not valid.",
        1007: "A text is not UTF-8.",
        1009: "A message is too large.",
        1011: "The service failed.",
        1012: "The process stops: connect again after `reconnect_ms`, or after a random time.",
        1013: "Unavailable, full, or the client reads too slowly: connect again in a moment.",
        1014: "The gateway got no valid response of the service: connect again in a moment.",
        4400: "A message is not valid: binary, no JSON object, or a malformed `auth`.",
        4401: "The token is missing or not valid, has expired, or its session has ended.",
        4403: "The token lacks the scope `notifications:read`.",
        4429: "Too many sockets of the user, or too many messages.",
    },
)
"""The socket, for the AsyncAPI document."""
