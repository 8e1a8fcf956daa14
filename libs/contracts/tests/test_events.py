"""Every event parses what it wrote, ignores unknown fields, and is never published invalid."""

import importlib
import json
import pkgutil
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import contracts
from contracts.base import Event, Topic, UnfitEventError, VersionedEvent
from contracts.examples import DIRECTORY, example, example_json
from contracts.orders import OrderPlaced, ProductStockChanged
from contracts.users import (
    EmailVerificationRequested,
    SessionRevoked,
    UserEvent,
    UserRegistered,
)

EACH = pytest.mark.parametrize("event", contracts.EVENTS, ids=lambda event: event.type)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda part: st.lists(part, max_size=2) | st.dictionaries(st.text(), part, max_size=2),
    max_leaves=4,
)


@EACH
def test_the_example_fits_the_contract_and_survives_a_round_trip(event):
    text = example_json(event)
    read = event.from_json(text)
    assert json.loads(read.to_json()) == json.loads(text)
    assert read == example(event)
    assert read.key
    assert read.subject
    if isinstance(read, VersionedEvent):
        assert read.sequence == read.version >= 1
    else:
        assert read.sequence is None


@EACH
@settings(max_examples=25, deadline=None)  # no deadline: the machine may be under load
@given(unknown=st.dictionaries(st.text().map("tomorrow_{}".format), JSON, min_size=1, max_size=3))
def test_fields_of_a_newer_producer_are_ignored_at_any_depth(event, unknown):
    newer = _with_unknown(json.loads(example_json(event)), unknown)
    assert newer.keys() >= unknown.keys()
    assert event.from_json(json.dumps(newer).encode()) == example(event)


def _with_unknown(value, unknown):
    if isinstance(value, dict):
        return {**{name: _with_unknown(part, unknown) for name, part in value.items()}, **unknown}
    if isinstance(value, list):
        return [_with_unknown(part, unknown) for part in value]
    return value


def test_no_event_and_no_topic_is_left_out():
    modules = [
        importlib.import_module(f"contracts.{module.name}")
        for module in pkgutil.iter_modules(contracts.__path__)
        if not module.name.startswith("_")
    ]
    values = [value for module in modules for value in vars(module).values()]
    declared = {
        value
        for value in values
        if isinstance(value, type) and issubclass(value, Event) and "type" in vars(value)
    }
    assert declared == set(contracts.EVENTS)
    assert {value for value in values if isinstance(value, Topic)} == set(contracts.TOPICS)
    assert len({event.type for event in contracts.EVENTS}) == len(contracts.EVENTS)
    assert {event.topic for event in contracts.EVENTS} == set(contracts.TOPICS)


def test_each_example_belongs_to_an_event():
    assert {file.stem for file in DIRECTORY.glob("*.json")} == {
        event.type for event in contracts.EVENTS
    }


@EACH
def test_a_type_ends_in_its_version_and_a_snapshot_says_so(event):
    assert event.type.rpartition(".v")[2].isdigit()
    assert event.snapshot == (".snapshot." in event.type)
    if event.snapshot:
        assert issubclass(event, VersionedEvent)


def test_only_the_topic_of_secrets_in_mails_is_closed():
    assert [topic.name for topic in contracts.TOPICS if topic.readers is not None] == [
        "slipway.users.private"
    ]


@pytest.mark.parametrize(("days", "hours"), [(31, 1), (30, 1)])
def test_personal_data_are_deleted_after_thirty_days(days, hours):
    def topic(*, personal_data):
        return Topic(
            name="t",
            producer="p",
            key="k",
            partitions=1,
            retention=timedelta(days=days),
            segment=timedelta(hours=hours),
            personal_data=personal_data,
        )

    with pytest.raises(ValueError, match="The topic t has personal data, and keeps them for 3"):
        topic(personal_data=True)
    assert topic(personal_data=False).retention == timedelta(days=days)


def test_an_event_made_around_its_validation_does_not_go_out():
    some: dict[str, Any] = {"version": 1, "stock": 1}
    with pytest.raises(UnfitEventError, match=r"product\.stock_changed\.v1 .*sku: Field required"):
        ProductStockChanged.model_construct(None, **some).to_json()


def test_a_changed_part_of_an_event_does_not_go_out():
    placed = example(OrderPlaced)
    items: list[Any] = placed.items
    items.append("a secret text")
    with pytest.raises(UnfitEventError, match="has another type than declared") as refused:
        placed.to_json()
    assert "a secret text" not in str(refused.value)


def test_a_copy_with_a_wrong_value_is_not_published_and_the_error_hides_the_value():
    wrong = example(OrderPlaced).total.model_copy(update={"currency": "private"})
    event = example(OrderPlaced).model_copy(update={"total": wrong})
    with pytest.raises(UnfitEventError, match=r"total\.currency: String should match") as refused:
        event.to_json()
    assert "private" not in str(refused.value)


def test_what_does_not_fit_is_named_and_not_shown():
    with pytest.raises(ValueError, match="version") as refused:
        UserRegistered.from_json(example_json(UserRegistered).replace(b"1,", b'"secret",', 1))
    assert "secret" not in str(refused.value)


def test_events_without_a_version_have_no_order():
    for event in (SessionRevoked, EmailVerificationRequested):
        assert example(event).sequence is None
        assert "version" not in event.model_fields


def test_an_example_takes_other_values():
    assert example(UserRegistered, version=9).version == 9
    with pytest.raises(ValueError, match="version"):
        example(UserRegistered, version=0)


def test_for_an_event_without_example_the_error_names_its_file():
    class Unseen(UserEvent):
        type: ClassVar[str] = "unseen.v1"

    with pytest.raises(FileNotFoundError, match=r"unseen\.v1\.json"):
        example_json(Unseen)
