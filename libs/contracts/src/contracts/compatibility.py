"""The rules by which a changed event may keep its type, and which readers each rule protects.

Consumers and producers are upgraded in any order, and old events are kept for days. So a consumer
of either version must read the events of both. The only compatible change is an optional field.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

type Schema = Mapping[str, Any]


class Rule(StrEnum):
    """What a change breaks, and for whom."""

    EVENT_REMOVED = (
        "its consumers would wait for ever; once no service reads it, delete its schema and "
        "example too"
    )
    TOPIC_CHANGED = "its consumers read another topic, and its order with older events is lost"
    FIELD_REMOVED = "older consumers may need it, and its name would be free for another meaning"
    REQUIRED_FIELD_ADDED = "events that are kept don't have it"
    OPTIONAL_MADE_REQUIRED = "events that are kept may not have it"
    REQUIRED_MADE_OPTIONAL = "older consumers need it"
    TYPE_CHANGED = "consumers of one version can't read the other"
    NULL_ADDED = "older consumers don't expect null"
    NULL_REMOVED = "events that are kept may have null"
    ENUM_VALUE_ADDED = "older consumers reject it"
    ENUM_VALUE_REMOVED = "events that are kept may have it"
    BOUND_TIGHTENED = "newer consumers would reject events that are kept"
    BOUND_LOOSENED = "older consumers would reject new events"
    PATTERN_CHANGED = "consumers of one version would reject texts of the other"
    FORMAT_CHANGED = "consumers of one version would reject texts of the other"
    DEFAULT_CHANGED = "an event without it would have another meaning"
    CONSTRAINT_CHANGED = "consumers of one version may reject events of the other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One change that is not compatible.

    Attributes:
        rule: the rule that it breaks.
        place: the path within the data: ``$.items[].quantity``.
        detail: the old and the new state.
    """

    rule: Rule
    place: str
    detail: str

    def __str__(self) -> str:
        """Return the change in one line."""
        name = self.rule.name.lower().replace("_", "-")
        return f"{name} at {self.place} ({self.detail}): {self.rule.value}"


_MINIMA = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_MAXIMA = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})
_NAMED = {
    "type": Rule.TYPE_CHANGED,
    "pattern": Rule.PATTERN_CHANGED,
    "format": Rule.FORMAT_CHANGED,
    "default": Rule.DEFAULT_CHANGED,
    "x-topic": Rule.TOPIC_CHANGED,
}
_ANNOTATIONS = frozenset(
    {"$schema", "$id", "$comment", "$defs", "title", "description", "examples", "deprecated"}
)
_WALKED = frozenset({"properties", "required", "items", "anyOf", "enum", "const"})
_NULL: Schema = {"type": "null"}


def find_breaks(old: Schema, new: Schema) -> list[Break]:
    """Return the incompatible changes between two of Pydantic's JSON Schemas of one event.

    Args:
        old: the published schema.
        new: the schema that replaces it.
    """
    return list(_Comparison(old, new).compare(old, new, "$"))


class _Comparison:
    def __init__(self, old_root: Schema, new_root: Schema) -> None:
        self._old_root = old_root
        self._new_root = new_root
        self._seen: set[tuple[str, str]] = set()

    def compare(self, old: Schema, new: Schema, place: str) -> Iterator[Break]:
        pair = (str(old.get("$ref")), str(new.get("$ref")))
        if "$ref" in old and "$ref" in new:
            if pair in self._seen:  # a model that contains itself
                return
            self._seen.add(pair)
        old, new = _resolved(old, self._old_root), _resolved(new, self._new_root)
        old_parts, new_parts = _alternatives(old), _alternatives(new)
        if (_NULL in old_parts) != (_NULL in new_parts):
            rule = Rule.NULL_ADDED if _NULL in new_parts else Rule.NULL_REMOVED
            yield Break(rule=rule, place=place, detail="null or not")
        old_parts = [part for part in old_parts if part != _NULL]
        new_parts = [part for part in new_parts if part != _NULL]
        if len(old_parts) == len(new_parts) == 1:
            old, new = (
                _resolved(old_parts[0], self._old_root),
                _resolved(new_parts[0], self._new_root),
            )
            yield from self._compare_one(old, new, place)
        elif _canonical(old_parts) != _canonical(new_parts):
            yield _changed(Rule.TYPE_CHANGED, place, old_parts, new_parts)
        self._seen.discard(pair)

    def _compare_one(self, old: Schema, new: Schema, place: str) -> Iterator[Break]:
        if old.get("type") != new.get("type"):
            yield _changed(Rule.TYPE_CHANGED, place, old.get("type"), new.get("type"))
            return
        yield from _values(old, new, place)
        for name in sorted((old.keys() | new.keys()) - _ANNOTATIONS - _WALKED - {"default"}):
            yield from _keyword(old, new, name, place)
        if "properties" in old or "properties" in new:
            yield from self._fields(old, new, place)
        if "items" in old or "items" in new:
            yield from self.compare(old.get("items", {}), new.get("items", {}), f"{place}[]")

    def _fields(self, old: Schema, new: Schema, place: str) -> Iterator[Break]:
        old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
        old_required, new_required = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(old_fields.keys() | new_fields.keys()):
            here = f"{place}.{name}"
            if name not in new_fields:
                yield Break(rule=Rule.FIELD_REMOVED, place=here, detail="it was there")
            elif name not in old_fields:
                if name in new_required:
                    yield Break(rule=Rule.REQUIRED_FIELD_ADDED, place=here, detail="new")
            else:
                if name in new_required - old_required:
                    yield _changed(Rule.OPTIONAL_MADE_REQUIRED, here, "optional", "required")
                if name in old_required - new_required:
                    yield _changed(Rule.REQUIRED_MADE_OPTIONAL, here, "required", "optional")
                if name not in old_required | new_required:
                    yield from _keyword(old_fields[name], new_fields[name], "default", here)
                yield from self.compare(old_fields[name], new_fields[name], here)


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Return the target of a reference; keywords beside the reference override the target's."""
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].rpartition("/")[2]
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    target: Schema = root["$defs"][name]
    return {**_resolved(target, root), **beside}


def _alternatives(schema: Schema) -> list[Schema]:
    parts: list[Schema] = list(schema.get("anyOf", ()))
    return parts or [{key: value for key, value in schema.items() if key != "default"}]


def _values(old: Schema, new: Schema, place: str) -> Iterator[Break]:
    old_values, new_values = _enumerated(old), _enumerated(new)
    if old_values is None and new_values is None:
        return
    if old_values is None or new_values is None:
        rule = Rule.ENUM_VALUE_REMOVED if old_values is None else Rule.ENUM_VALUE_ADDED
        yield _changed(rule, place, old_values or "any", new_values or "any")
        return
    for value in sorted(old_values - new_values):
        yield Break(rule=Rule.ENUM_VALUE_REMOVED, place=place, detail=value)
    for value in sorted(new_values - old_values):
        yield Break(rule=Rule.ENUM_VALUE_ADDED, place=place, detail=value)


def _enumerated(schema: Schema) -> set[str] | None:
    if "const" in schema:
        return {_canonical(schema["const"])}
    return {_canonical(value) for value in schema["enum"]} if "enum" in schema else None


def _keyword(old: Schema, new: Schema, name: str, place: str) -> Iterator[Break]:
    before, after = old.get(name), new.get(name)
    if before == after and (name in old) == (name in new):
        return
    if name in _MINIMA | _MAXIMA:
        rule = _bound_rule(before, after, is_minimum=name in _MINIMA)
    else:
        rule = _NAMED.get(name, Rule.CONSTRAINT_CHANGED)
    yield _changed(rule, place, {name: before}, {name: after})


def _bound_rule(before: float | None, after: float | None, *, is_minimum: bool) -> Rule:
    if before is None:
        return Rule.BOUND_TIGHTENED
    if after is None:
        return Rule.BOUND_LOOSENED
    return Rule.BOUND_TIGHTENED if (after > before) == is_minimum else Rule.BOUND_LOOSENED


def _changed(rule: Rule, place: str, before: object, after: object) -> Break:
    return Break(rule=rule, place=place, detail=f"{_canonical(before)} → {_canonical(after)}")


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=sorted)
