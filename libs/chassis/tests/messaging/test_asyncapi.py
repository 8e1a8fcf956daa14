"""The AsyncAPI document says who sends and who reads each event; the page says the same."""

import json
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, Self

import pytest
from pydantic import BaseModel

from chassis.messaging import Subscription, Subscriptions
from chassis.messaging.asyncapi import Facts, Socket, SocketMessage, asyncapi_document, page_of
from chassis.messaging.consuming.subscriptions import UnknownEventTypeError
from chassis.product import product

BOXES: Any = SimpleNamespace(
    name="boxes",
    producer="packers",
    key="the box",
    partitions=2,
    retention=timedelta(days=2),
    segment=timedelta(hours=1),
    personal_data=True,
    timestamp_type="LogAppendTime",
    readers=("movers",),
    compatibility="full",
)


@dataclass(frozen=True)
class BoxPacked:
    """A box was packed.

    It is closed, too.
    """

    type: ClassVar[str] = "box.packed.v1"
    topic: ClassVar[Any] = BOXES
    snapshot: ClassVar[bool] = False

    box: str
    sequence: int | None = None

    @property
    def key(self) -> str:
        return self.box

    @property
    def subject(self) -> str:
        return self.box

    def to_json(self) -> bytes:
        return json.dumps({"box": self.box}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        read = json.loads(data)
        return cls(read["box"], read.get("version"))


@dataclass(frozen=True)
class BoxOpened(BoxPacked):
    """A box was opened."""

    type: ClassVar[str] = "box.opened.v1"


SIZE = {"type": "object", "description": "Of a box.", "properties": {"cm": {"type": "integer"}}}
PACKED = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["box"],
    "properties": {
        "box": {"type": "string", "pattern": "^b"},
        "sizes": {"type": "array", "items": {"$ref": "#/$defs/Size"}},
        "outer": {"$ref": "#/$defs/Size", "description": "From outside."},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    },
    "$defs": {"Size": SIZE},
}
OPENED = {"type": "object", "properties": {"version": {"type": "integer", "minimum": 1}}}


async def handle(*_: Any) -> None:
    """Do nothing."""


def subscriptions(**options: Any) -> Subscriptions[None]:
    return Subscriptions(handled=[Subscription(BoxPacked, handle)], **options)


def facts(**changes: Any) -> Facts:
    given = {
        "title": "Boxes",
        "topics": [BOXES],
        "events": [BoxPacked, BoxOpened],
        "schemas": {"box.packed.v1": PACKED, "box.opened.v1": OPENED},
        "examples": {"box.packed.v1": {"box": "b1"}, "box.opened.v1": {"box": "b1", "version": 1}},
        "subscriptions": {
            "movers": subscriptions(ignored=[BoxOpened]),
            "packers": Subscriptions[None](handled=[]),
        },
    }
    return Facts(**{**given, **changes})


def test_operations_follow_the_tables_of_subscriptions():
    operations = asyncapi_document(facts())["operations"]
    assert {name: operation["action"] for name, operation in operations.items()} == {
        "packers.send.boxes": "send",
        "movers.receive.boxes": "receive",
    }
    messages = {
        name: [each["$ref"].rpartition("/")[2] for each in operation["messages"]]
        for name, operation in operations.items()
    }
    assert messages["packers.send.boxes"] == ["box.packed.v1", "box.opened.v1"]
    assert messages["movers.receive.boxes"] == ["box.packed.v1"]


def test_a_table_that_is_silent_makes_no_half_document():
    with pytest.raises(UnknownEventTypeError, match=r"box\.opened\.v1"):
        asyncapi_document(facts(subscriptions={"movers": subscriptions()}))


def test_a_channel_describes_its_topic():
    channel = asyncapi_document(facts())["channels"]["boxes"]
    assert channel["address"] == "boxes"
    assert list(channel["messages"]) == ["box.packed.v1", "box.opened.v1"]
    kafka = channel["bindings"]["kafka"]
    assert (kafka["partitions"], kafka["topicConfiguration"]["retention.ms"]) == (2, 172_800_000)
    assert (channel["x-readers"], channel["x-longest-retention-hours"]) == (["movers"], 49)


def test_a_message_has_the_headers_of_its_cloud_event():
    messages = asyncapi_document(facts())["components"]["messages"]
    packed, opened = messages["box.packed.v1"], messages["box.opened.v1"]
    assert packed["summary"] == "A box was packed."
    assert packed["description"].endswith("It is closed, too.")
    assert packed["headers"]["properties"]["ce_type"]["const"] == "box.packed.v1"
    assert packed["headers"]["properties"]["ce_source"]["const"] == product().source_of("packers")
    # Only an event of an aggregate with a version has a sequence.
    assert "ce_sequence" not in packed["headers"]["properties"]
    assert "ce_sequence" in opened["headers"]["required"]


def test_schemas_are_listed_side_by_side_and_refer_to_each_other():
    schemas = asyncapi_document(facts())["components"]["schemas"]
    reference = {"$ref": "#/components/schemas/Size"}
    assert schemas["Size"] == SIZE
    properties = schemas["box.packed.v1"]["properties"]
    assert properties["sizes"]["items"] == reference
    assert properties["outer"] == {"allOf": [reference], "description": "From outside."}
    assert not {"$defs", "$schema"} & schemas["box.packed.v1"].keys()


def test_two_parts_of_one_name_are_refused():
    other = {**OPENED, "$defs": {"Size": {"type": "string"}}}
    with pytest.raises(ValueError, match=r"box\.opened\.v1 has a model Size that differs"):
        asyncapi_document(facts(schemas={"box.packed.v1": PACKED, "box.opened.v1": other}))


def test_the_page_says_the_same_in_words():
    page = page_of(asyncapi_document(facts()))
    for line in (
        "| [boxes](#boxes) | packers | the box | 2 | 2 days | **movers alone** |",
        "It holds personal data; an event is gone after 49 hours at the latest.",
        "Its times are the broker's.",
        "| `box` | string, `^b` |  |",
        "| `sizes` | list of *Size* | Optional. |",
        "| `outer` | *Size* | Optional. From outside. |",
        "| `note` | string or null | Optional. |",
        "*Size*: Of a box. It has `cm` (integer).",
        "Received by: movers.",
        "Received by: no service of this system.",
    ):
        assert f"\n{line}\n" in page


class Colour(StrEnum):
    """The colour of a box."""

    RED = "red"


class Ask(BaseModel):
    """Asks for a box."""

    type: Literal["ask"]
    colour: Colour


class Answer(BaseModel):
    """What is in the box."""

    type: Literal["answer"]


SOCKET = Socket(
    name="boxes.live",
    service="movers",
    address="/boxes/ws",
    about="Boxes, live.",
    received=[SocketMessage(name="ask", shape=Ask, example={"type": "ask", "colour": "red"})],
    sent=[SocketMessage(name="answer", shape=Answer, example={"type": "answer"})],
    close_codes={4400: "The message is not valid."},
)


def test_a_socket_is_a_channel_of_its_own_server():
    document = asyncapi_document(facts(sockets=[SOCKET]))
    assert set(document["servers"]) == {"kafka", "gateway"}
    assert document["channels"]["boxes"]["servers"] == [{"$ref": "#/servers/kafka"}]
    channel = document["channels"]["boxes.live"]
    assert channel["address"] == "/boxes/ws"
    assert channel["servers"] == [{"$ref": "#/servers/gateway"}]
    assert channel["x-close-codes"] == {"4400": "The message is not valid."}
    operations = document["operations"]
    assert operations["movers.receive.boxes.live"]["messages"] == [
        {"$ref": "#/channels/boxes.live/messages/boxes.live.ask"}
    ]
    assert operations["movers.send.boxes.live"]["action"] == "send"
    message = document["components"]["messages"]["boxes.live.ask"]
    assert message["description"] == "Asks for a box."
    assert message["payload"] == {"$ref": "#/components/schemas/boxes.live.ask"}
    assert document["components"]["schemas"]["Colour"]["enum"] == ["red"]


def test_the_document_of_a_system_without_sockets_has_kafka_alone():
    assert set(asyncapi_document(facts())["servers"]) == {"kafka"}


def test_the_page_describes_a_socket():
    page = page_of(asyncapi_document(facts(sockets=[SOCKET])))
    for line in (
        "WebSocket `/boxes/ws`, served by movers.",
        "| 4400 | The message is not valid. |",
        "### boxes.live.ask",
        "| `type` | `ask` |  |",
        "| `colour` | *Colour* |  |",
        "*Colour*: The colour of a box. One of `red`.",
        "Received by: movers.",
    ):
        assert f"\n{line}\n" in page
