"""How long items are measured to take from the event that caused them to their push."""

import time

import pytest

from chassis.database import new_id
from notifications.feed.repository import Item
from notifications.feed.service import Connection


@pytest.fixture
def ages(server):
    """Return the number of measured items, and the sum of their ages in seconds."""

    def read():
        registry = server.process.registry
        return tuple(
            registry.get_sample_value(f"feed_item_age_seconds_{part}") for part in ("count", "sum")
        )

    return read


async def test_each_transport_measures_an_item_from_its_event(
    feed, stream, consume, placed, headers, ages
):
    user, began = new_id(), time.time()
    async with feed(user) as socket, stream(headers(user)) as events:
        await events.next()
        await consume(placed(user))
        await socket.next()
        await events.next()
    count, total = ages()
    assert count == 2
    assert 0 < total < 2 * (time.time() - began)


async def test_an_item_that_a_client_missed_is_not_measured(feed, consume, placed, ages):
    user = new_id()
    await consume(placed(user))
    async with feed(user, last_event_id=0) as socket:
        assert (await socket.next())["event_id"] == 1
        assert ages() == (0, 0)


@pytest.mark.parametrize(("caused_at", "age"), [(None, None), (0.0, None), (2**33, 0.0)])
def test_the_age_needs_a_cause_since_the_connection_opened_and_is_never_negative(
    principal, caused_at, age
):
    item = Item(event_id=1, type="notification", data="{}", traceparent=None, caused_at=caused_at)
    assert Connection(principal=principal()).age_of(item) == age
