"""One AsyncAPI 3 document: topics and events as the contracts declare them, and who reads them.

A consumer in any language can be written from it alone. So it also describes what no schema can:
delivery, order, duplicates.
"""

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol

from chassis.messaging.asyncapi import sockets as of_sockets
from chassis.messaging.asyncapi.sockets import Socket
from chassis.messaging.consuming.subscriptions import Subscriptions
from chassis.messaging.events import SEQUENCE_DIGITS, PublicEvent
from chassis.product import product

type Json = dict[str, Any]

_ABOUT = Path(__file__).with_name("about.md")

_HEADERS: Json = {
    "ce_specversion": {"type": "string", "const": "1.0"},
    "ce_id": {
        "type": "string",
        "format": "uuid",
        "description": "Unique within the source; the same in a duplicate.",
    },
    "ce_source": {"type": "string", "format": "uri-reference"},
    "ce_type": {"type": "string"},
    "ce_subject": {
        "type": "string",
        "description": "The id of the aggregate that the event is about.",
    },
    "ce_time": {"type": "string", "format": "date-time"},
    "content-type": {"type": "string", "const": "application/json"},
}
_SEQUENCE: Json = {
    "type": "string",
    "pattern": f"^[0-9]{{{SEQUENCE_DIGITS}}}$",
    "description": "The subject's version after the event.",
}


class TopicFacts(Protocol):
    """What the document needs of a topic."""

    name: str
    producer: str
    key: str
    partitions: int
    retention: timedelta
    segment: timedelta
    personal_data: bool
    timestamp_type: str
    readers: Sequence[str] | None
    compatibility: str


class EventFacts(PublicEvent, Protocol):
    """What the document needs of an event; its docstring is the description."""

    snapshot: ClassVar[bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the document is made of.

    Attributes:
        title: the document's title.
        topics: the topics that the contracts declare.
        events: the events that the contracts declare.
        schemas: the JSON Schema of each event's data, by type.
        examples: an example of each event's data, by type.
        subscriptions: the subscriptions of each service, by its name.
        sockets: the WebSockets of all services.
    """

    title: str
    topics: Sequence[TopicFacts]
    events: Sequence[type[EventFacts]]
    schemas: Mapping[str, Json]
    examples: Mapping[str, Json]
    subscriptions: Mapping[str, Subscriptions[Any]]
    sockets: Sequence[Socket] = ()


def asyncapi_document(facts: Facts) -> Json:
    """Return the document.

    Raises:
        ValueError: two events have parts of the same name that differ.
    """
    schemas: Json = {}
    for event in facts.events:
        _take_schema(schemas, event.type, facts.schemas[event.type])
    document = _of_events(facts)
    for socket in facts.sockets:
        _add_socket(document, schemas, socket)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _of_events(facts: Facts) -> Json:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": facts.title,
            "version": "1",
            "description": _ABOUT.read_text(encoding="utf-8").strip(),
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrapServers}",
                "protocol": "kafka",
                "variables": {
                    "bootstrapServers": {
                        "default": "127.0.0.1:9092",
                        "description": "Ask the operators of the system. The default is that of "
                        "a single machine.",
                    }
                },
            }
        },
        "channels": {topic.name: _channel(topic, facts.events) for topic in facts.topics},
        "operations": dict(_operations(facts)),
        "components": {
            "messages": {event.type: _message(event, facts) for event in facts.events},
        },
    }


def _add_socket(document: Json, schemas: Json, socket: Socket) -> None:
    name, server = of_sockets.server()
    document["servers"][name] = server
    document["channels"][socket.name] = of_sockets.channel_of(socket)
    document["operations"].update(of_sockets.operations_of(socket))
    for message in socket.messages:
        key = socket.key(message)
        document["components"]["messages"][key] = of_sockets.message_of(socket, message)
        _take_schema(schemas, key, message.shape.model_json_schema())


def _channel(topic: TopicFacts, events: Iterable[type[EventFacts]]) -> Json:
    types = [event.type for event in events if event.topic.name == topic.name]
    return {
        "address": topic.name,
        "description": f"Published only by {topic.producer}. The key is {topic.key}.",
        "servers": [_reference("servers", "kafka")],
        "messages": {kind: _reference("components", "messages", kind) for kind in types},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": int(topic.retention.total_seconds() * 1000),
                },
                "bindingVersion": "0.5.0",
            }
        },
        "x-producer": topic.producer,
        "x-key": topic.key,
        "x-readers": None if topic.readers is None else list(topic.readers),
        "x-personal-data": topic.personal_data,
        "x-longest-retention-hours": _hours(topic.retention + topic.segment),
        "x-timestamp-type": topic.timestamp_type,
        "x-compatibility": topic.compatibility,
    }


def _hours(time: timedelta) -> float:
    return round(time.total_seconds() / 3600, 2)


def _operations(facts: Facts) -> Iterable[tuple[str, Json]]:
    for topic in facts.topics:
        events = [event for event in facts.events if event.topic.name == topic.name]
        yield _operation(topic.producer, "send", topic.name, [event.type for event in events])
        for service, subscriptions in facts.subscriptions.items():
            if topic.name in subscriptions.topics:
                # find() raises for an undeclared type: a document without it would be wrong.
                handled = [each.type for each in events if subscriptions.find(each.type)]
                yield _operation(service, "receive", topic.name, handled)


def _operation(service: str, action: str, topic: str, types: Iterable[str]) -> tuple[str, Json]:
    return f"{service}.{action}.{topic}", {
        "action": action,
        "channel": _reference("channels", topic),
        "messages": [_reference("channels", topic, "messages", kind) for kind in types],
        "tags": [{"name": service}],
    }


def _message(event: type[EventFacts], facts: Facts) -> Json:
    topic = event.topic
    example = facts.examples[event.type]
    sequence = event.from_json(json.dumps(example).encode()).sequence
    headers = {
        **_HEADERS,
        "ce_type": {"type": "string", "const": event.type},
        "ce_source": {"type": "string", "const": product().source_of(topic.producer)},
        **({"ce_sequence": _SEQUENCE} if sequence is not None else {}),
    }
    text = inspect.getdoc(event) or ""
    return {
        "name": event.type,
        "title": event.type,
        "summary": text.partition("\n")[0],
        "description": text,
        "contentType": "application/json",
        "headers": {"type": "object", "properties": headers, "required": sorted(headers)},
        "payload": _reference("components", "schemas", event.type),
        "bindings": {
            "kafka": {
                "key": {"type": "string", "format": "uuid", "description": topic.key},
                "bindingVersion": "0.5.0",
            }
        },
        "examples": [{"payload": example}],
        "x-snapshot": event.snapshot,
    }


def _take_schema(whole: Json, name: str, schema: Json) -> None:
    """Add a schema under its name, and its parts (``$defs``) next to it."""
    parts = {**schema.get("$defs", {}), name: schema}
    for part, content in parts.items():
        found = _moved({key: content[key] for key in content if key not in {"$defs", "$schema"}})
        if whole.setdefault(part, found) != found:
            message = (
                f"{name} has a model {part} that differs from an earlier event's model of this "
                "name. Rename one of the two."
            )
            raise ValueError(message)


def _moved(value: Any) -> Any:  # noqa: ANN401  # any part of a JSON Schema
    """Copy a part of a schema; its references point to ``#/components/schemas``."""
    if isinstance(value, list):
        return [_moved(part) for part in value]
    if not isinstance(value, dict):
        return value
    if "$ref" not in value:
        return {key: _moved(part) for key, part in value.items()}
    reference = _reference("components", "schemas", value["$ref"].rpartition("/")[2])
    beside = {key: _moved(part) for key, part in value.items() if key != "$ref"}
    # AsyncAPI's schemas are Draft 7, which ignores the siblings of a reference.
    return {"allOf": [reference], **beside} if beside else reference


def _reference(*path: str) -> Json:
    return {"$ref": "#/" + "/".join(path)}


def as_text(document: Json) -> str:
    """Return the document as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
