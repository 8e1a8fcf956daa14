"""`make documents` names the service whose declaration lacks something, without a traceback."""

from dataclasses import replace
from pathlib import Path

import pytest

from chassis.documents import __main__ as documents
from chassis.messaging import Subscription, Subscriptions
from chassis.service import installed_services
from contracts.orders import OrderPlaced
from notifications.notifications.subscribers import on_order_placed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def notifications():
    return next(service for service in installed_services() if service.name == "notifications")


@pytest.fixture
def refusal_of(monkeypatch, capsys):
    """Check the documents of a service alone; return what is printed as an error."""
    monkeypatch.chdir(ROOT)

    def check(service):
        monkeypatch.setattr(documents, "installed_services", lambda: [service])
        assert documents.main(["--check"]) == 1
        return capsys.readouterr().err

    return check


def test_a_text_without_an_example_is_named_with_its_service_and_the_file(
    notifications, refusal_of
):
    without = replace(notifications.documentation, examples={})
    printed = refusal_of(replace(notifications, documentation=without))
    assert printed.startswith("services/notifications: ")
    assert "`examples` in the service's documentation.py" in printed


def test_an_event_that_a_service_neither_handles_nor_ignores_is_named_with_the_service(
    notifications, refusal_of
):
    listed = Subscriptions(handled=[Subscription(OrderPlaced, on_order_placed)])
    printed = refusal_of(replace(notifications, subscriptions=listed))
    assert printed.startswith("services/notifications: The event type ")
    assert "`ignored`" in printed
