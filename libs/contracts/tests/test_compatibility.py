"""Each compatibility rule refuses a change; both sides can read what no rule refuses."""

import json
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, create_model

from contracts import EVENTS
from contracts.compatibility import Rule, find_breaks
from contracts.examples import example_json
from contracts.schemas import schema_of


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class MoreColour(StrEnum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Inner(BaseModel):
    code: str


class WiderInner(BaseModel):
    code: str
    note: str


class Tree(BaseModel):
    children: list["Tree"]
    name: str


class OtherTree(BaseModel):
    children: list["OtherTree"]
    name: int


_make: Any = create_model


def schema(**fields: Any) -> dict[str, Any]:
    model: type[BaseModel] = create_model("Data", **fields)
    return model.model_json_schema()


CASES: dict[str, tuple[Any, Any, Rule | None]] = {
    "a field is removed": ({"a": str, "b": str}, {"a": str}, Rule.FIELD_REMOVED),
    "an optional one too": ({"b": (int, 1)}, {}, Rule.FIELD_REMOVED),
    "a required field is added": ({"a": str}, {"a": str, "b": str}, Rule.REQUIRED_FIELD_ADDED),
    "an optional field is added": ({"a": str}, {"a": str, "b": (str, "")}, None),
    "an optional field is required": ({"a": (str, "")}, {"a": str}, Rule.OPTIONAL_MADE_REQUIRED),
    "a required field is optional": ({"a": str}, {"a": (str, "")}, Rule.REQUIRED_MADE_OPTIONAL),
    "another type": ({"a": str}, {"a": int}, Rule.TYPE_CHANGED),
    "a wider type": ({"a": int}, {"a": float}, Rule.TYPE_CHANGED),
    "a further type": ({"a": int | str}, {"a": int | str | bool}, Rule.TYPE_CHANGED),
    "the types in another order": ({"a": int | str}, {"a": str | int}, Rule.TYPE_CHANGED),
    "null comes": ({"a": int}, {"a": int | None}, Rule.NULL_ADDED),
    "null goes": ({"a": int | None}, {"a": int}, Rule.NULL_REMOVED),
    "another inside what may be null": (
        {"a": Inner | None},
        {"a": WiderInner | None},
        Rule.REQUIRED_FIELD_ADDED,
    ),
    "a value comes": ({"a": Colour}, {"a": MoreColour}, Rule.ENUM_VALUE_ADDED),
    "a value goes": ({"a": MoreColour}, {"a": Colour}, Rule.ENUM_VALUE_REMOVED),
    "the only value goes": (
        {"a": Literal["x", "y"]},
        {"a": Literal["x"]},
        Rule.ENUM_VALUE_REMOVED,
    ),
    "any value is one of few": ({"a": str}, {"a": Literal["x"]}, Rule.ENUM_VALUE_REMOVED),
    "one of few is any": ({"a": Literal["x"]}, {"a": str}, Rule.ENUM_VALUE_ADDED),
    "a minimum comes": ({"a": int}, {"a": (int, Field(ge=1))}, Rule.BOUND_TIGHTENED),
    "a minimum goes": ({"a": (int, Field(ge=1))}, {"a": int}, Rule.BOUND_LOOSENED),
    "a minimum rises": (
        {"a": (int, Field(ge=1))},
        {"a": (int, Field(ge=2))},
        Rule.BOUND_TIGHTENED,
    ),
    "a minimum falls": ({"a": (int, Field(ge=1))}, {"a": (int, Field(ge=0))}, Rule.BOUND_LOOSENED),
    "a length falls": (
        {"a": (str, Field(max_length=9))},
        {"a": (str, Field(max_length=8))},
        Rule.BOUND_TIGHTENED,
    ),
    "a length rises": (
        {"a": (str, Field(max_length=9))},
        {"a": (str, Field(max_length=10))},
        Rule.BOUND_LOOSENED,
    ),
    "a pattern comes": ({"a": str}, {"a": (str, Field(pattern="^a"))}, Rule.PATTERN_CHANGED),
    "another pattern": (
        {"a": (str, Field(pattern="^a"))},
        {"a": (str, Field(pattern="^b"))},
        Rule.PATTERN_CHANGED,
    ),
    "a default changes": ({"a": (int, 1)}, {"a": (int, 2)}, Rule.DEFAULT_CHANGED),
    "another rule of numbers": (
        {"a": int},
        {"a": (int, Field(multiple_of=2))},
        Rule.CONSTRAINT_CHANGED,
    ),
    "deep in a list": ({"a": list[Inner]}, {"a": list[WiderInner]}, Rule.REQUIRED_FIELD_ADDED),
    "the items of a list": ({"a": list[int]}, {"a": list[str]}, Rule.TYPE_CHANGED),
    "the values of a map": (
        {"a": dict[str, int]},
        {"a": dict[str, str]},
        Rule.CONSTRAINT_CHANGED,
    ),
    "in what contains itself": ({"a": Tree}, {"a": OtherTree}, Rule.TYPE_CHANGED),
    "words only": (
        {"a": (str, Field(description="Old."))},
        {"a": (str, Field(description="New.", title="A", examples=["x"], deprecated=True))},
        None,
    ),
    "nothing": ({"a": Tree, "b": Inner | None}, {"a": Tree, "b": Inner | None}, None),
}


@pytest.mark.parametrize("name", CASES)
def test_a_change_breaks_its_rule_or_no_rule(name):
    old, new, rule = CASES[name]
    breaks = find_breaks(schema(**old), schema(**new))
    assert {each.rule for each in breaks} == ({rule} if rule else set()), breaks


def test_a_format_that_changes_is_named():
    old = {"type": "string", "format": "uuid"}
    (found,) = find_breaks(old, {"type": "string"})
    assert found.rule is Rule.FORMAT_CHANGED


def test_another_topic_is_named():
    (found,) = find_breaks({"type": "object", "x-topic": "a"}, {"type": "object", "x-topic": "b"})
    assert found.rule is Rule.TOPIC_CHANGED


def test_every_rule_has_a_change_that_breaks_it():
    tried = {rule for _, _, rule in CASES.values()} - {None}
    elsewhere = {Rule.FORMAT_CHANGED, Rule.TOPIC_CHANGED, Rule.EVENT_REMOVED}
    assert tried | elsewhere == set(Rule)


def test_a_break_names_its_rule_its_location_and_the_change():
    old, new = {"a": list[int]}, {"a": list[str]}
    (found,) = find_breaks(schema(**old), schema(**new))
    assert str(found) == (
        'type-changed at $.a[] ("integer" → "string"): '
        "consumers of one version can't read the other"
    )


TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers()),
    (Annotated[int, Field(ge=1)], st.integers(1)),
    (Annotated[int, Field(ge=1, le=9)], st.integers(1, 9)),
    (str, st.text(max_size=5)),
    (Annotated[str, Field(max_length=2)], st.text(max_size=2)),
    (Annotated[str, Field(pattern="^a")], st.text(max_size=3).map("a{}".format)),
    (Literal["x", "y"], st.sampled_from(["x", "y"])),
    (Literal["x"], st.just("x")),
    (int | None, st.none() | st.integers()),
    (list[int], st.lists(st.integers(), max_size=2)),
    (list[str], st.lists(st.text(), max_size=2)),
]
NAMES = st.sampled_from(["a", "b", "c"])
FIELDS = st.dictionaries(NAMES, st.tuples(st.integers(0, len(TYPES) - 1), st.booleans()))


@st.composite
def changes(draw):
    """Draw the fields of a version, and those of the next version."""
    old = draw(FIELDS)
    changed = draw(st.dictionaries(NAMES, st.tuples(st.integers(0, len(TYPES) - 1), st.booleans())))
    kept = {name: field for name, field in old.items() if draw(st.integers(0, 9)) > 0}
    return old, {**kept, **changed} if draw(st.booleans()) else {**changed, **kept}


def model_of(fields: dict[str, tuple[int, bool]]) -> type[BaseModel]:
    # An absent field is None, which is not validated, as any default is not.
    declared: dict[str, Any] = {
        name: (TYPES[number][0], ...) if required else (TYPES[number][0], None)
        for name, (number, required) in fields.items()
    }
    return create_model("Data", **declared)


def data_of(fields: dict[str, tuple[int, bool]]) -> st.SearchStrategy[dict[str, Any]]:
    required = {name: TYPES[number][1] for name, (number, needed) in fields.items() if needed}
    optional = {name: TYPES[number][1] for name, (number, needed) in fields.items() if not needed}
    return st.fixed_dictionaries(required, optional=optional)


@settings(max_examples=150, deadline=None)  # no deadline: the machine may be under load
@given(change=changes(), data=st.data())
def test_what_no_rule_refuses_is_read_by_consumers_of_either_version(change, data):
    old_fields, new_fields = change
    old, new = model_of(old_fields), model_of(new_fields)
    if find_breaks(old.model_json_schema(), new.model_json_schema()):
        return
    new.model_validate(data.draw(data_of(old_fields)), strict=True)
    old.model_validate(data.draw(data_of(new_fields)), strict=True)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_a_consumer_of_the_baseline_reads_a_newer_producer(event):
    """An older consumer's model is derived from today's; the newer event has allowed changes."""
    added: dict[str, Any] = {"added_later": (str | None, None), "also_added": (int, 7)}
    newer: Any = _make(event.__name__, __base__=event, **added)
    assert not find_breaks(schema_of(event), schema_of(newer))
    written = newer(**json.loads(example_json(event)), added_later="tomorrow").to_json()
    read = TypeAdapter(event).validate_json(written)
    assert read == event.from_json(example_json(event))
    assert newer.from_json(example_json(event)).also_added == 7
