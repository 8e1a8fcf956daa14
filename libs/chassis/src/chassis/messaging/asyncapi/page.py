"""The AsyncAPI document as a page for people: topics, events, fields, who sends and receives."""

import json
from collections.abc import Iterator
from typing import Any

type Json = dict[str, Any]

_HEAD = """\
<!-- Written by `make documents` from the contracts and the services' tables of subscriptions. -->
# Events

{about}

The same for machines: [asyncapi.json](asyncapi.json), which a running system serves as
`/asyncapi.json`. Consumers that were written from it alone, as a start: [examples](examples).
How to add or change an event: [guides/events.md](guides/events.md).

| topic | sent by | key | partitions | kept | may be read by |
|---|---|---|---|---|---|
"""


def page_of(document: Json) -> str:
    """Return the page, as Markdown.

    Args:
        document: the document that ``asyncapi_document`` returns.
    """
    channels: Json = {
        name: channel for name, channel in document["channels"].items() if "x-key" in channel
    }
    lines = [_HEAD.format(about=document["info"]["description"]).rstrip("\n")]
    for name, channel in channels.items():
        kafka = channel["bindings"]["kafka"]
        readers = channel["x-readers"]
        cells = (
            f"[{name}](#{_anchor(name)})",
            channel["x-producer"],
            channel["x-key"],
            str(kafka["partitions"]),
            _duration(kafka["topicConfiguration"]["retention.ms"]),
            "everybody" if readers is None else f"**{', '.join(readers)} alone**",
        )
        lines.append(f"| {' | '.join(cells)} |")
    for name, channel in channels.items():
        lines += ["", f"## {name}", "", *_facts(channel)]
        for kind in channel["messages"]:
            lines += ["", *_event(document, kind)]
    for name, channel in document["channels"].items():
        if name not in channels:
            lines += ["", f"## {name}", "", *_socket(document, channel)]
    return "\n".join(lines) + "\n"


def _socket(document: Json, channel: Json) -> Iterator[str]:
    """Yield the description of a WebSocket: its messages, and why it is closed."""
    yield f"WebSocket `{channel['address']}`, served by {channel['x-producer']}."
    yield ""
    yield channel["description"]
    yield ""
    yield "| close code | reason |"
    yield "|---|---|"
    for code, reason in channel["x-close-codes"].items():
        yield f"| {code} | {reason} |"
    for kind in channel["messages"]:
        yield ""
        yield from _event(document, kind)


def _facts(channel: Json) -> Iterator[str]:
    yield channel["description"]
    if channel["x-personal-data"]:
        hours = f"{channel['x-longest-retention-hours']:g}"
        yield f"It holds personal data; an event is gone after {hours} hours at the latest."
    if channel["x-timestamp-type"] == "LogAppendTime":
        yield "Its times are the broker's."


def _event(document: Json, kind: str) -> Iterator[str]:
    message: Json = document["components"]["messages"][kind]
    schema: Json = document["components"]["schemas"][kind]
    yield f"### {kind}"
    yield ""
    yield message["description"]
    yield ""
    receivers = ", ".join(_receivers(document, kind)) or "no service of this system"
    yield f"Received by: {receivers}."
    yield ""
    yield "| field | type | |"
    yield "|---|---|---|"
    required = set(schema.get("required", ()))
    for name, field in schema["properties"].items():
        notes = [] if name in required else ["Optional."]
        notes += [field["description"]] if "description" in field else []
        yield f"| `{name}` | {_type(field)} | {' '.join(notes)} |"
    yield from _parts(document, schema)
    yield ""
    yield "```json"
    yield json.dumps(message["examples"][0]["payload"], indent=2, ensure_ascii=False)
    yield "```"


def _parts(document: Json, schema: Json) -> Iterator[str]:
    """Yield the description of each nested schema, in the order of their first reference."""
    schemas: Json = document["components"]["schemas"]
    names = list(_references(schema))
    for name in names:
        names += [each for each in _references(schemas[name]) if each not in names]
    for name in dict.fromkeys(names):
        yield ""
        yield f"*{name}*: {schemas[name].get('description', '')} {_content(schemas[name])}."


def _content(schema: Json) -> str:
    if "enum" in schema:
        return "One of " + ", ".join(f"`{value}`" for value in schema["enum"])
    fields = (f"`{field}` ({_type(part)})" for field, part in schema["properties"].items())
    return "It has " + ", ".join(fields)


def _references(value: Any) -> Iterator[str]:  # noqa: ANN401  # any part of a JSON Schema
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def _receivers(document: Json, kind: str) -> Iterator[str]:
    for operation in document["operations"].values():
        names = {each["$ref"].rpartition("/")[2] for each in operation["messages"]}
        if operation["action"] == "receive" and kind in names:
            yield operation["tags"][0]["name"]


def _type(schema: Json) -> str:
    if "$ref" in schema:
        return f"*{schema['$ref'].rpartition('/')[2]}*"
    if "allOf" in schema:
        return _type(schema["allOf"][0])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    text = f"{schema.get('type', 'any')}"
    text += f" ({schema['format']})" if "format" in schema else ""
    text += f", {schema['minimum']} or more" if "minimum" in schema else ""
    return text + (f", `{schema['pattern']}`" if "pattern" in schema else "")


def _duration(milliseconds: int) -> str:
    hours = milliseconds // 3_600_000
    days, rest = divmod(hours, 24)
    unit, number = ("hour", hours) if rest or not days else ("day", days)
    return f"{number} {unit}{'s' if number != 1 else ''}"


def _anchor(heading: str) -> str:
    return heading.replace(".", "")
