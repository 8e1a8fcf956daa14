"""Each event with a version is compared with the row that has this version."""

import pytest

from chassis.installed import service_names
from chassis.service import load_service
from contracts import EVENTS, VersionedEvent


@pytest.mark.parametrize("name", service_names())
def test_each_versioned_event_of_a_service_is_verified(name):
    """A type that were left out would make each of its versions look like a gap."""
    expected = {
        event.type
        for event in EVENTS
        if issubclass(event, VersionedEvent) and event.topic.producer == name
    }
    declared = [
        event.type
        for aggregate in load_service(name).verification.aggregates
        for event in aggregate.events
    ]
    assert sorted(declared) == sorted(expected)


@pytest.mark.parametrize("name", service_names())
def test_an_effect_is_of_events_that_the_service_handles(name):
    service = load_service(name)
    for effect in service.verification.effects:
        assert all(service.subscriptions.find(event.type) is not None for event in effect.of)
        assert len({event.topic.name for event in effect.of}) == 1
