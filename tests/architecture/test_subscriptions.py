"""Each service declares for every event on its topics whether it handles or ignores it."""

import pytest

import contracts
from chassis.product import product
from chassis.service import installed_services

SERVICES = installed_services()
EACH = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)


@EACH
def test_every_event_of_a_topic_that_is_read_is_handled_or_ignored(service):
    for event in contracts.EVENTS:
        if event.topic.name in service.subscriptions.topics:
            service.subscriptions.find(event.type)  # raises if the service declares neither


@EACH
def test_a_service_reads_no_topic_that_is_closed_to_it(service):
    by_name = {topic.name: topic for topic in contracts.TOPICS}
    for topic in (by_name[name] for name in service.subscriptions.topics):
        assert topic.readers is None or service.name in topic.readers, topic.name


def test_every_topic_has_a_producer_that_is_installed():
    names = {service.name for service in SERVICES}
    assert {topic.producer for topic in contracts.TOPICS} <= names
    for topic in contracts.TOPICS:
        assert topic.readers is None or set(topic.readers) <= names, topic.name


def test_every_topic_begins_with_the_products_prefix():
    assert all(topic.name.startswith(product().topic_prefix) for topic in contracts.TOPICS)
