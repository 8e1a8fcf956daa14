"""What an OpenAPI document says beyond its routes and shapes: tags, and an example of each body.

An example is built from the body's schema, so it can't lack a member or keep an old one. Values
that a schema does not give come from one table of the service.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

type Schema = Mapping[str, Any]

_OF_FORMATS: Mapping[str, JsonValue] = {
    "uuid": "01960000-0000-7000-8000-000000000001",
    "date-time": "2026-01-31T12:30:00Z",
    "email": "ada@example.com",
    "password": "correct horse battery staple",
}
_OF_CHASSIS: Mapping[str, JsonValue] = {
    "next_cursor": None,
    "request_id": "01960000-0000-7000-8000-0000000000aa",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "idempotency_key": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    "ExportedAuditEntry.action": "thing.changed",
    "ExportedAuditEntry.subject": "things/01960000-0000-7000-8000-0000000000cc",
    "ExportedAuditEntry.address": "203.0.113.7",
    "ExportedJob.kind": "things.tidy",
    "ExportedJob.state": "done",
    "ExportedJob.arguments": {},
    "ExportedMessage.id": "01960000-0000-7000-8000-0000000000bb",
    "ExportedMessage.topic": "things",
    "ExportedMessage.type": "thing.changed.v1",
    "ExportedMessage.data": {},
    "ExportedResponse.request": "POST /api/v1/things",
    "ExportedResponse.body": {},
}
_NUMBER = 1
_REFERENCE = "#/components/schemas/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Documentation:
    """What a service adds to its OpenAPI document.

    Attributes:
        tags: what the operations of each tag are for, by the tag's name; Markdown.
        examples: the example values of members, by ``Schema.member``, or by ``member`` for all
            schemas. The body of one operation has the name ``operationId.request`` or
            ``operationId.<status>``, and its members that name with ``.member``. The longer name
            wins. A text whose schema has neither a format nor a fixed set of values needs an
            entry.
    """

    tags: Mapping[str, str] = field(default_factory=dict)
    examples: Mapping[str, JsonValue] = field(default_factory=dict)


class MissingExampleError(LookupError):
    """A member of a body has no example value."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Say which name the table of examples lacks."""
        super().__init__(
            f"{names[0]!r} has no example value. A text needs one, by this name or by "
            f"{names[-1]!r}: add it to `examples` in the service's documentation.py."
        )


def add_examples(document: dict[str, Any], values: Mapping[str, JsonValue]) -> None:
    """Add an example to each request body and each body of a success in a document.

    Args:
        document: the OpenAPI document, which is changed.
        values: see ``Documentation.examples``.

    Raises:
        MissingExampleError: a text has no value.
    """
    examples = _Examples(document["components"]["schemas"], {**_OF_CHASSIS, **values})
    for operations in document["paths"].values():
        for operation in operations.values():
            for name, media in _bodies(operation):
                media["example"] = examples.of_body(media["schema"], name)


def _bodies(operation: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the media type object of each body that gets an example."""
    name = operation["operationId"]
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield f"{name}.request", media
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            for media in response.get("content", {}).values():
                yield f"{name}.{status}", media


class _Examples:
    """Builds values that conform to schemas."""

    def __init__(self, schemas: Mapping[str, Schema], values: Mapping[str, JsonValue]) -> None:
        self._schemas = schemas
        self._values = values

    def of_body(self, schema: Schema, name: str) -> JsonValue:
        """Return a value of a body's schema, with the members that the table has for this body."""
        value = self.of(schema, name)
        if isinstance(value, dict):
            own = f"{name}."
            value |= {
                key.removeprefix(own): given
                for key, given in self._values.items()
                if key.startswith(own)
            }
        return value

    def of(self, schema: Schema, *names: str) -> JsonValue:
        """Return a value of a schema; `names` are those that the table may have for it."""
        for name in names:
            if name in self._values:
                return self._values[name]
        if "$ref" in schema:
            target = schema["$ref"].removeprefix(_REFERENCE)
            return self.of(self._schemas[target], target)
        if "const" in schema:
            fixed: JsonValue = schema["const"]
            return fixed
        if "enum" in schema:
            first: JsonValue = schema["enum"][0]
            return first
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                some = next(one for one in schema[choice] if one.get("type") != "null")
                return self.of(some, *names)
        return self._of_type(schema, names)

    def _of_type(self, schema: Schema, names: tuple[str, ...]) -> JsonValue:
        match schema.get("type"):
            case "object":
                owner = schema.get("title", "").replace(" ", "")
                return {
                    member: self.of(part, f"{owner}.{member}", member)
                    for member, part in schema.get("properties", {}).items()
                }
            case "array":
                return [self.of(schema["items"], *names)]
            case "boolean":
                return True
            case "integer" | "number":
                # A schema may write the bound of an integer as 5.0, which no strict reader takes.
                return max(_NUMBER, int(schema.get("minimum", _NUMBER)))
            case "string" if schema.get("format") in _OF_FORMATS:
                return _OF_FORMATS[schema["format"]]
        raise MissingExampleError(names)
