"""What the use cases of notifications cost: their statements, and an index for each list."""

import itertools
from functools import partial

import pytest

from chassis.database import new_id
from chassis.paging import PageRequest
from notifications.feed import repository as feed
from notifications.notifications import repository
from notifications.notifications.repository import FeedPosition
from notifications.notifications.wiring import (
    notifications,
    notifier,
    write_notifications,
)
from notifications.preferences.models import Preferences
from notifications.preferences.wiring import preferences
from testkit.plans import generic_plan
from testkit.statements import statements_in_transaction

FIRST = PageRequest[FeedPosition](limit=20)
GERMAN = Preferences(locale="de")
INDEXES = {
    None: "uq_notifications_user_id_event_id",
    True: "ix_notifications_unread",
    False: "ix_notifications_read",
}


@pytest.fixture
def cost(resources):
    """Run a use case in a transaction; return what it sends after BEGIN and before COMMIT."""

    async def run(work):
        async with statements_in_transaction(resources.database) as (unit, sent):
            await work(unit)
        assert sent[-1] == "COMMIT"
        return sent[:-1]

    return run


@pytest.mark.parametrize("count", [1, 50])
async def test_the_statements_of_a_users_list(cost, resources, consume, placed, db, count):
    user = new_id()
    await consume(*(placed(user) for _ in range(count)))
    one = await db.fetchval("SELECT id FROM notifications LIMIT 1")

    def of(call):
        return lambda unit: call(notifications(resources, unit))

    for unread in (None, True, False):
        listed = of(lambda mine, unread=unread: mine.page(user, FIRST, unread=unread))
        assert len(await cost(listed)) == 2  # the first looks for announcements
    assert len(await cost(of(lambda mine: mine.count_unread(user)))) == 2
    assert len(await cost(of(lambda mine: mine.mark_read(user, one)))) == 2
    assert len(await cost(of(lambda mine: mine.mark_all_read(user, last_event_id=None)))) == 3


async def test_the_statements_of_preferences(cost, resources):
    user = new_id()

    def of(call):
        return lambda unit: call(preferences(resources, unit))

    assert len(await cost(of(lambda mine: mine.get(user)))) == 1
    replaced = of(lambda mine: mine.replace(user, GERMAN, expected=[]))
    assert len(await cost(replaced)) == 2
    assert len(await cost(replaced)) == 1, "no change"
    assert len(await cost(of(lambda mine: mine.close(user)))) == 1


@pytest.mark.parametrize("count", [1, 50])
async def test_notifications_are_one_statement_if_their_users_have_no_other_receiver(
    cost, resources, count
):
    async def write(unit):
        for _ in range(count):
            notifier(resources, unit).notify(
                "order.confirmed",
                user_id=new_id(),
                source_event_id=str(new_id()),
                data={"order_id": "1"},
            )
        await write_notifications(unit, resources)

    assert len(await cost(write)) == 1


@pytest.fixture
def many(owner, database):
    """Store notifications of 20 users. Of two, one in a hundred is read, or unread; return them."""
    del database  # it empties the tables before
    user, other, *more = (new_id() for _ in range(20))

    async def store(count):
        await owner.execute("SET statement_timeout = 0; SET transaction_timeout = 0")
        usual = [(one, "n % 2 = 0") for one in more]
        for one, read in ((user, "n % 100 = 0"), (other, "n % 100 <> 0"), *usual):
            await owner.execute(
                "INSERT INTO notifications (id, user_id, event_id, source_event_id, type, title,"
                " body, data, created_at, read_at)"
                " SELECT gen_random_uuid(), $1, n, n::text, 'order.placed', 't', 'b', '{}',"
                f" now() - ($2 - n) * interval '1 second', CASE WHEN {read} THEN now() END"
                " FROM generate_series(1, $2) AS n",
                one,
                count // 20,
            )
        await owner.execute("ANALYZE notifications")
        return user, other

    return store


@pytest.mark.parametrize("count", [30_000, pytest.param(300_000, marks=pytest.mark.slow)])
async def test_each_list_and_each_change_of_many_reads_one_index(many, cost, resources, db, count):
    users = await many(count)
    late = PageRequest[FeedPosition](limit=20, after=FeedPosition(event_id=count // 40))
    cases = itertools.product(users, (FIRST, late), INDEXES.items())
    for user, page, (unread, index) in cases:
        sent = await cost(partial(read_page, resources, user=user, page=page, unread=unread))
        assert_reads(await plan_of_list(db, sent), index)
    sent = await cost(lambda unit: notifications(resources, unit).count_unread(users[0]))
    assert_reads(await plan_of_list(db, sent), "ix_notifications_unread")
    marking = await generic_plan(db, repository._READ_ALL)
    assert_reads(marking, "ix_notifications_unread")


async def read_page(resources, unit, *, user, page, unread):
    return await notifications(resources, unit).page(user, page, unread=unread)


async def plan_of_list(db, sent):
    """Return the plan of the statement on notifications; the other one looks for announcements."""
    [sql] = [sql for sql in sent if "FROM notifications" in sql]
    return await generic_plan(db, sql)


def assert_reads(plan, index):
    assert index in plan, plan
    assert "Sort" not in plan, plan
    assert "Seq Scan on notifications" not in plan, plan


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("sql", [feed._AFTER, feed._AHEAD])
async def test_a_look_at_the_feeds_of_one_user_is_planned_once_as_for_many(service_database, sql):
    """PostgreSQL plans a new statement five times before it compares."""
    plans = "SELECT custom_plans FROM pg_prepared_statements WHERE statement = $1"
    async with service_database.connected() as role:
        statement = await role.prepare(sql)
        for _ in range(10):
            await statement.fetch([new_id()], [1], 100)
        assert await role.fetchval(plans, sql) == 5
