"""The channels of a notification: those of its kind that its user has not switched off."""

import asyncio

import pytest

from chassis.database import new_id
from notifications.kinds.models import KINDS, Category, Channel
from notifications.notifications.wiring import notifier
from notifications.preferences.models import Preferences
from notifications.preferences.wiring import preferences
from testkit.statements import statements_in_transaction

DATA = {
    "order_id": "1",
    "webhook_id": "8",
    "reason": "gone",
    "method": "change",
    "factor": "totp",
    "change": "added",
    "expires_at": "2026-04-15T10:30:00+00:00",
}
ALL = frozenset(Channel)
NOT_LISTED = ALL - {Channel.IN_APP}


@pytest.fixture
def mute(resources):
    """Switch channels of orders off for a user."""

    async def change(user, *channels, category=Category.ORDERS):
        wanted = Preferences(muted=frozenset((category, channel) for channel in channels))
        async with resources.database.transaction() as unit:
            await preferences(resources, unit).replace(user, wanted, expected=[])

    return change


@pytest.fixture
def write(resources):
    """Write notifications in a transaction of their own: of each user, or of (user, type)."""

    async def run(*wanted, events=None):
        async with resources.database.transaction() as unit:
            writing = notifier(resources, unit)
            for place, one in enumerate(wanted):
                user, type_ = one if isinstance(one, tuple) else (one, "order.placed")
                event = str(new_id()) if events is None else events[place]
                writing.notify(type_, user_id=user, source_event_id=event, data=DATA)
            return await writing.write_all()

    return run


async def counts(db, user):
    return [
        await db.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", value)
        for table, column, value in (
            ("notifications", "user_id", user),
            ("feed_entries", "user_id", user),
            ("outbox", "key", str(user)),
        )
    ]


async def test_without_preferences_a_notification_has_the_channels_of_its_kind(write):
    for type_, kind in KINDS.items():
        if kind.event is not None:
            [notice] = await write((new_id(), type_))
            assert (notice.channels, notice.category) == (kind.channels, kind.category)
            assert notice.event_id == 1


async def test_with_in_app_off_there_is_no_row_no_item_and_no_event_but_other_channels(
    write, mute, db
):
    user, other = new_id(), new_id()
    await mute(user, Channel.IN_APP)
    first, second = await write(user, other)
    assert (first.user_id, first.event_id, first.channels) == (user, None, NOT_LISTED)
    assert (second.user_id, second.event_id, second.channels) == (other, 1, ALL)
    assert await counts(db, user) == [0, 0, 0]
    assert await counts(db, other) == [1, 1, 1]


async def test_with_another_channel_off_the_list_has_it_all_the_same(write, mute, db):
    user = new_id()
    await mute(user, Channel.EMAIL)
    [notice] = await write(user)
    assert (notice.event_id, notice.channels) == (1, ALL - {Channel.EMAIL})
    assert await counts(db, user) == [1, 1, 1]


async def test_with_all_channels_off_there_is_nothing(write, mute, db):
    user = new_id()
    await mute(user, *Channel)
    assert await write(user, (user, "order.shipped")) == []
    assert await counts(db, user) == [0, 0, 0]
    assert await db.fetchval("SELECT count(*) FROM feed_heads") == 0


async def test_a_kind_without_a_channel_gets_it_by_no_preference(write, mute):
    user = new_id()
    await mute(user, Channel.IN_APP, Channel.WEBHOOK)
    assert await write((user, "order.confirmed")) == [], "it has no mail"


async def test_another_category_is_not_affected(write, mute, db):
    user = new_id()
    await mute(user, *Channel)
    [notice] = await write(user, (user, "user.email_changed"), user)
    assert (notice.type, notice.event_id) == ("user.email_changed", 1)
    assert await counts(db, user) == [1, 1, 1]


async def test_the_numbers_of_listed_ones_have_no_gaps_and_keep_the_order_of_events(
    write, mute, db
):
    user, other = new_id(), new_id()
    await mute(user, Channel.IN_APP)
    types = ["order.placed", "user.email_changed", "order.shipped", "user.email_changed"]
    notices = await write(*((one, type_) for type_ in types for one in (user, other)))
    assert [notice.type for notice in notices] == [type_ for type_ in types for _ in range(2)]
    assert [notice.event_id for notice in notices] == [None, 1, 1, 2, None, 3, 2, 4]
    await mute(user)
    [notice] = await write(user)
    assert notice.event_id == 3
    assert await db.fetchval("SELECT feed_seq FROM feed_heads WHERE user_id = $1", user) == 3


async def test_a_batch_of_orders_follows_the_preferences_of_each_user(consume, placed, mute, db):
    users = [new_id() for _ in range(6)]
    for user in users[::2]:
        await mute(user, Channel.IN_APP)
    assert await consume(*(placed(users[n % 6]) for n in range(60))) == (60, None)
    rows = await db.fetch("SELECT user_id, count(*) AS n FROM notifications GROUP BY user_id")
    assert {row["user_id"]: row["n"] for row in rows} == dict.fromkeys(users[1::2], 10)


async def test_an_event_that_was_listed_before_is_sent_on_no_channel_again(write, mute):
    user, event = new_id(), str(new_id())
    assert len(await write(user, events=[event])) == 1
    await mute(user, Channel.IN_APP)
    assert await write(user, events=[event]) == []


async def test_while_a_batch_waits_for_a_feed_its_user_swaps_one_channel_for_another(
    write, mute, owner, db, until_blocked
):
    """Between the statement's snapshot and its lock: a channel read later would find neither."""
    user = new_id()
    await write(user)
    await mute(user, Channel.IN_APP, Channel.WEBHOOK)
    async with owner.transaction():
        await owner.execute("UPDATE feed_heads SET feed_seq = feed_seq WHERE user_id = $1", user)
        writing = asyncio.create_task(write(user))
        await until_blocked()
        await mute(user, Channel.EMAIL, Channel.WEBHOOK)
    [notice] = await writing
    assert (notice.event_id, notice.channels) == (None, {Channel.EMAIL})
    [notice] = await write(user)
    assert (notice.event_id, notice.channels) == (2, {Channel.IN_APP})
    assert await counts(db, user) == [2, 2, 2]


async def test_while_an_unlisted_one_waits_for_the_feed_the_account_is_deleted(
    write, mute, owner, until_blocked
):
    """It has no number to take, and must see the closed feed all the same."""
    user = new_id()
    await mute(user, Channel.IN_APP)
    assert len(await write(user)) == 1
    async with owner.transaction():
        await owner.execute("UPDATE feed_heads SET is_closed = true WHERE user_id = $1", user)
        writing = asyncio.create_task(write(user))
        await until_blocked()
    assert await writing == []


async def test_preferences_cost_a_batch_no_statement(resources, mute):
    users = [new_id() for _ in range(3)]
    await mute(users[0], Channel.IN_APP)
    await mute(users[1], *Channel)
    async with statements_in_transaction(resources.database) as (unit, sent):
        writing = notifier(resources, unit)
        for user in users * 10:
            writing.notify("order.placed", user_id=user, source_event_id=str(new_id()), data=DATA)
        assert len(await writing.write_all()) == 20
    assert len(sent) == 1 + 1, "with COMMIT"


async def test_only_what_is_listed_is_counted_as_created_and_only_after_the_commit(
    resources, mute, write
):
    user, other = new_id(), new_id()
    await mute(user, Channel.IN_APP)

    def created():
        [metric] = resources.notification_metrics._outcomes.collect()
        labels = {"channel": "in_app", "outcome": "created"}
        return next(one.value for one in metric.samples if one.labels == labels)

    async def fail():
        async with resources.database.transaction() as unit:
            writing = notifier(resources, unit)
            writing.notify("order.placed", user_id=other, source_event_id="1", data=DATA)
            await writing.write_all()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert created() == 0
    await write(user, other, other)
    assert created() == 2
