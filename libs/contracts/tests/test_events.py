"""Every event reads back what it wrote, and ignores what it does not know."""

import json
from pathlib import Path

import pytest

import contracts
import contracts.base
import contracts.notifications
import contracts.orders
import contracts.users

EXAMPLES = Path(__file__).parents[1] / "examples"


def every_event() -> list[type[contracts.Event]]:
    found, queue = [], [contracts.Event]
    while queue:
        for kind in queue.pop().__subclasses__():
            queue.append(kind)
            if "type" in vars(kind):
                found.append(kind)
    return sorted(found, key=lambda kind: kind.type)


@pytest.mark.parametrize("event", every_event(), ids=lambda event: event.type)
def test_the_example_fits_the_contract_and_survives_a_round_trip(event):
    example = (EXAMPLES / f"{event.type}.json").read_bytes()
    read = event.from_json(example)
    assert json.loads(read.to_json()) == json.loads(example)
    assert read.key
    assert read.subject
    assert read.sequence >= 1


@pytest.mark.parametrize("event", every_event(), ids=lambda event: event.type)
def test_a_field_of_a_newer_producer_is_ignored(event):
    example = json.loads((EXAMPLES / f"{event.type}.json").read_bytes())
    newer = json.dumps({**example, "a_field_of_tomorrow": {"x": 1}}).encode()
    assert event.from_json(newer) == event.from_json(json.dumps(example).encode())


def test_each_example_belongs_to_an_event():
    assert {file.stem for file in EXAMPLES.glob("*.json")} == {
        event.type for event in every_event()
    }


def test_each_event_goes_to_a_listed_topic_and_no_topic_is_without_one():
    assert {event.topic for event in every_event()} == set(contracts.TOPICS)


def test_a_topic_with_personal_data_keeps_thirty_days_at_most():
    assert all(topic.retention.days <= 30 for topic in contracts.TOPICS)
