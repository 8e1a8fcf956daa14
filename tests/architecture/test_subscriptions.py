"""Each service says of every event on its topics whether it handles or ignores it."""

import importlib

import pytest

import contracts

SERVICES = ("users", "orders", "notifications")


def read_topics(service):
    subscriptions = importlib.import_module(f"{service}.worker").SUBSCRIPTIONS
    return subscriptions, set(subscriptions.topics)


@pytest.mark.parametrize("service", SERVICES)
def test_every_event_of_a_topic_that_is_read_is_handled_or_ignored(service):
    subscriptions, topics = read_topics(service)
    for event in contracts.EVENTS:
        if event.topic.name in topics:
            subscriptions.find(event.type)  # raises where the table is silent


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_no_topic_that_is_closed_to_it(service):
    _, names = read_topics(service)
    by_name = {topic.name: topic for topic in contracts.TOPICS}
    for topic in (by_name[name] for name in names):
        assert topic.readers is None or service in topic.readers, topic.name


def test_somebody_consumes_something():
    assert {service for service in SERVICES if read_topics(service)[1]} == {
        "orders",
        "notifications",
    }
