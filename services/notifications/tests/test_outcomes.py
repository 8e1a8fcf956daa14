"""What the channels announce of a notification: events in order, counted after the commit."""

import asyncio
import json

import pytest

from chassis.database import new_id
from contracts.examples import has_shape_of_example
from notifications.kinds.models import Channel
from notifications.notifications.wiring import notifier
from notifications.outcomes.jobs import prune_outcomes
from notifications.outcomes.models import OUTCOMES_KEPT, ChannelOutcome
from notifications.outcomes.wiring import outcomes
from testkit.statements import statements_in_transaction


def outcome(notification, user, channel=Channel.EMAIL, failure=None):
    return ChannelOutcome(
        notification_id=notification, user_id=user, channel=channel, failure=failure
    )


@pytest.fixture
def announce(resources):
    """Announce outcomes in a transaction of their own."""

    async def run(*settled):
        async with resources.database.transaction() as unit:
            await outcomes(resources, unit).announce(settled)

    return run


@pytest.fixture
async def notice(resources):
    """A notification that is in its user's list."""
    async with resources.database.transaction() as unit:
        writing = notifier(resources, unit)
        writing.notify(
            "order.placed", user_id=new_id(), source_event_id="1", data={"order_id": "1"}
        )
        [written] = await writing.write_all()
    return written


@pytest.fixture
def published(db):
    """Return the events of a notification in the order of the outbox: type, version, data."""

    async def read(notification):
        rows = await db.fetch("SELECT headers, payload FROM outbox ORDER BY seq")
        found = []
        for row in rows:
            headers, data = json.loads(row["headers"]), json.loads(row["payload"])
            if headers["ce_subject"] == str(notification):
                assert int(headers["ce_sequence"]) == data["version"]
                found.append((headers["ce_type"], data["version"], data))
        return found

    return read


@pytest.fixture
def counted(resources):
    """Return the counter of a channel's outcomes."""

    def read(channel, name):
        [metric] = resources.notification_metrics._outcomes.collect()
        labels = {"channel": channel, "outcome": name}
        return next(one.value for one in metric.samples if one.labels == labels)

    return read


async def test_a_delivery_and_a_failure_follow_the_creation(
    announce, notice, published, counted, db
):
    await announce(outcome(notice.id, notice.user_id))
    await announce(outcome(notice.id, notice.user_id, Channel.WEBHOOK, "the endpoint answered 410"))
    created, delivered, failed = await published(notice.id)
    assert [one[:2] for one in (created, delivered, failed)] == [
        ("notification.created.v1", 1),
        ("notification.delivered.v1", 2),
        ("notification.failed.v1", 3),
    ]
    assert has_shape_of_example("notification.delivered.v1", delivered[2])
    assert has_shape_of_example("notification.failed.v1", failed[2])
    assert delivered[2]["channel"] == "email"
    assert (failed[2]["channel"], failed[2]["reason"]) == ("webhook", "the endpoint answered 410")
    keys = await db.fetch("SELECT DISTINCT key FROM outbox")
    assert [row["key"] for row in keys] == [str(notice.user_id)]
    assert (counted("email", "delivered"), counted("webhook", "failed")) == (1, 1)
    assert (counted("email", "failed"), counted("webhook", "delivered")) == (0, 0)


async def test_a_notification_that_is_in_no_list_begins_with_its_first_outcome(announce, published):
    notification, user = new_id(), new_id()
    await announce(outcome(notification, user))
    await announce(outcome(notification, user, Channel.WEBHOOK))
    assert [one[:2] for one in await published(notification)] == [
        ("notification.delivered.v1", 1),
        ("notification.delivered.v1", 2),
    ]


async def test_a_notification_that_was_pruned_meanwhile_keeps_its_numbers(
    announce, notice, published, db
):
    await announce(outcome(notice.id, notice.user_id))
    await db.execute("DELETE FROM notifications")
    await announce(outcome(notice.id, notice.user_id))
    assert [version for _, version, _ in await published(notice.id)] == [1, 2, 3]


async def test_many_at_once_are_numbered_in_their_order_for_one_statement(
    resources, notice, published
):
    other, user = new_id(), new_id()
    settled = [
        outcome(notice.id, notice.user_id, Channel.WEBHOOK, "first"),
        outcome(other, user, Channel.WEBHOOK, "of another"),
        outcome(notice.id, notice.user_id, Channel.WEBHOOK, "second"),
    ]
    async with statements_in_transaction(resources.database) as (unit, sent):
        await outcomes(resources, unit).announce(settled)
    assert len(sent) == 1 + 2, "with the outbox and COMMIT"
    failed = (await published(notice.id))[1:]
    assert [(version, data["reason"]) for _, version, data in failed] == [
        (2, "first"),
        (3, "second"),
    ]
    assert [version for _, version, _ in await published(other)] == [1]


async def test_no_outcome_is_no_statement(resources):
    async with statements_in_transaction(resources.database) as (unit, sent):
        await outcomes(resources, unit).announce([])
    assert len(sent) == 1, "COMMIT"


async def test_of_a_transaction_that_is_rolled_back_nothing_is_published_or_counted(
    resources, notice, published, counted
):
    async def fail():
        async with resources.database.transaction() as unit:
            settled = [outcome(notice.id, notice.user_id)]
            await outcomes(resources, unit).announce(settled)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert len(await published(notice.id)) == 1
    assert counted("email", "delivered") == 0


async def test_between_the_number_and_the_commit_of_one_outcome_another_one_is_settled(
    resources, announce, notice, published, until_blocked
):
    async with resources.database.transaction() as unit:
        await outcomes(resources, unit).announce([outcome(notice.id, notice.user_id)])
        late = asyncio.create_task(
            announce(outcome(notice.id, notice.user_id, Channel.WEBHOOK, "late"))
        )
        await until_blocked()
    await late
    assert [(name, version) for name, version, _ in await published(notice.id)] == [
        ("notification.created.v1", 1),
        ("notification.delivered.v1", 2),
        ("notification.failed.v1", 3),
    ]


async def test_between_two_locks_of_one_batch_another_one_takes_the_first(
    resources, announce, published, until_blocked
):
    """The batch names them in the other order: locked in that order, the two would deadlock."""
    user, first, second = new_id(), new_id(), new_id()
    async with resources.database.transaction() as unit:
        await outcomes(resources, unit).announce([outcome(first, user)])
        late = asyncio.create_task(announce(outcome(second, user), outcome(first, user)))
        await until_blocked()
        await outcomes(resources, unit).announce([outcome(second, user)])
    await late
    for one in (first, second):
        assert [version for _, version, _ in await published(one)] == [1, 2]


async def test_old_counts_are_deleted(announce, resources, db):
    old, young = new_id(), new_id()
    await announce(outcome(old, new_id()), outcome(young, new_id()))
    await db.execute(
        "UPDATE outcomes SET (created_at, updated_at) = (SELECT at, at"
        " FROM (SELECT now() - $1::interval - interval '1 s' AS at)) WHERE notification_id = $2",
        OUTCOMES_KEPT,
        old,
    )
    async with resources.database.transaction() as unit:
        assert await prune_outcomes(unit, 10) == 1
    assert await db.fetchval("SELECT array_agg(notification_id) FROM outcomes") == [young]
