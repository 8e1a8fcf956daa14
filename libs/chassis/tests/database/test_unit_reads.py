"""The transaction of a unit begins with its first statement that may change or lock something."""

import asyncio
import contextlib

import asyncpg
import pytest
from sqlalchemy import Integer, String, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.database.reads import only_reads
from chassis.database.unit import NotCommittedError, Unit
from chassis.library_internals.asyncpg import is_cancelling
from testkit.statements import statements_of_requests
from testkit.waiting import until

INSERT = "INSERT INTO ledgers VALUES ($1, $2)"
SLOW = "SELECT count(*) FROM ledgers AS a, ledgers AS b, ledgers AS c, ledgers AS d"
ACTIVE = """
    SELECT count(*) AS count FROM pg_stat_activity
    WHERE datname = current_database() AND query = $1 AND state = 'active'
"""
NAMES = "SELECT name FROM ledgers ORDER BY name"


class Base(DeclarativeBase):
    """Maps what the tests have created already."""


class Ledger(Base):
    """A row of the tests' table."""

    __tablename__ = "ledgers"

    name: Mapped[str] = mapped_column(String, primary_key=True)
    sum: Mapped[int] = mapped_column(Integer)


async def fill(ledgers):
    """Fill the table, so that `SLOW` takes minutes."""
    async with ledgers.transaction() as unit:
        await unit.execute(
            "INSERT INTO ledgers SELECT n::text, n FROM generate_series(1, 500) AS n"
        )


async def names(ledgers):
    async with ledgers.transaction() as unit:
        return [row["name"] for row in await unit.fetch(NAMES)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "select name from ledgers where name = any ($1::text[])",
        "SELECT count(*) FILTER (WHERE name LIKE 'a%') AS count FROM ledgers",
        "WITH newest AS MATERIALIZED (SELECT max(sum) AS sum FROM ledgers) SELECT sum FROM newest",
        'SELECT "update" FROM "insert" LIMIT $1',
        "SELECT name FROM ledgers WHERE name = 'for update; delete(''x'')'",
        "SELECT l.name, lower(l.name) FROM ledgers AS l WHERE (l.name, l.sum) < ($1, $2)",
        "SELECT now() - $1::interval",
        "SELECT p.place FROM unnest($1::uuid[], $2::bigint[]) AS p (user_id, place)",
        """SELECT name AS "it's", 'a "quote' FROM ledgers AS "größe" WHERE name <> 'größe'""",
        str(select(Ledger).where(Ledger.name.in_(["a", "b"])).order_by(Ledger.sum).limit(2)),
    ],
)
def test_a_statement_only_reads(sql):
    assert only_reads(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "INSERT INTO ledgers VALUES ('a', 1)",
        "WITH gone AS (DELETE FROM ledgers RETURNING name) SELECT name FROM gone",
        "WITH new AS (INSERT INTO ledgers VALUES ('a', 1) RETURNING name) SELECT name FROM new",
        "SELECT name FROM ledgers FOR UPDATE",
        "SELECT name FROM ledgers FOR NO KEY UPDATE SKIP LOCKED",
        "SELECT name FROM ledgers for key share",
        "SELECT name INTO copies FROM ledgers",
        "SELECT nextval('numbers')",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT set_config('statement_timeout', $1, true)",
        "SELECT pg_catalog.pg_notify('a', 'b')",
        "SELECT ledgers.lower('a')",
        "SELECT r.a FROM effect($1) AS r (a)",
        'SELECT "lower" (1)',
        'SELECT "ledgers".lower (1)',
        "SELECT ledgers . lower(1)",
        "SELECT a$lower(1)",
        "SELECT é(1)",
        "SELECT élower(1)",
        "SELECT ran\N{KELVIN SIGN}(1)",
        """SELECT name AS "'", nextval('numbers') AS "'" FROM ledgers""",
        "SELECT 1; DELETE FROM ledgers",
        "SELECT E'\\'' || nextval('numbers') || '",
        "SELECT $a$ ' $a$, nextval('numbers'), '",
        "SELECT $é$ ' $é$, nextval('numbers'), '",
        "SELECT 1 -- '\n, nextval('numbers') -- '",
        "SELECT 1 /* ' */, nextval('numbers') /* ' */",
        "MERGE INTO ledgers USING others ON true WHEN MATCHED THEN DELETE",
        "SET LOCAL statement_timeout = 1",
        "LOCK TABLE ledgers",
        "SAVEPOINT a",
        "EXPLAIN ANALYZE SELECT 1",
        "TABLE ledgers",
        str(select(Ledger).with_for_update()),
    ],
)
def test_a_statement_may_do_more_than_read(sql):
    assert not only_reads(sql)


async def test_reads_are_sent_without_begin_and_commit(ledgers):
    async with statements_of_requests(ledgers) as sent, ledgers.transaction() as unit:
        await unit.fetch(NAMES)
        await unit.session.scalar(select(Ledger.sum))
        await unit.fetch("SELECT 1")
    assert [sql.split()[0] for sql in sent] == ["SELECT"] * 3


@pytest.mark.parametrize("read", [True, False])
async def test_the_first_change_begins_the_transaction_and_all_that_follows_is_in_it(ledgers, read):
    async with statements_of_requests(ledgers) as sent, ledgers.transaction() as unit:
        if read:
            await unit.fetch(NAMES)
        await unit.execute(INSERT, "a", 1)
        await unit.fetch(NAMES)
    assert sent == [*[NAMES][:read], "BEGIN", INSERT, NAMES, "COMMIT"]


async def test_a_change_that_is_fetched_begins_the_transaction(ledgers):
    async def fail():
        async with ledgers.transaction() as unit:
            await unit.fetch(NAMES)
            assert len(await unit.fetch(f"{INSERT} RETURNING name", "a", 1)) == 1
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await names(ledgers) == []


async def test_a_lock_after_a_read_lasts_until_the_end(ledgers):
    async def lock_at_once():
        async with ledgers.transaction() as other:
            await other.fetch(f"{NAMES} FOR UPDATE NOWAIT")

    async with ledgers.transaction() as unit:
        await unit.execute(INSERT, "a", 1)
    async with ledgers.transaction() as holder:
        await holder.fetch(NAMES)
        await holder.fetch(f"{NAMES} FOR UPDATE")
        await holder.fetch(NAMES)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await lock_at_once()
    await lock_at_once()


async def test_rows_that_are_not_there_are_looked_for_in_one_round_trip(ledgers):
    async with statements_of_requests(ledgers) as sent, ledgers.transaction() as unit:
        assert await unit.fetch_locked(NAMES) == []
    assert sent == [NAMES]


async def test_rows_that_were_found_are_locked_until_the_end(ledgers):
    await fill(ledgers)
    async with ledgers.transaction() as unit, ledgers.transaction() as other:
        assert len(await unit.fetch_locked(NAMES)) == 500
        assert await other.fetch_locked(NAMES) == []  # another's are skipped
    async with ledgers.transaction() as unit:
        assert len(await unit.fetch_locked(NAMES)) == 500


async def test_between_the_look_and_the_lock_a_row_that_is_deleted_is_not_returned(ledgers):
    await fill(ledgers)

    async with ledgers.transaction() as unit:
        fetch = unit.fetch

        async def delete_first(sql, *arguments):
            if "FOR UPDATE" in sql:
                async with ledgers.transaction() as other:
                    await other.execute("DELETE FROM ledgers WHERE name <> '7'")
            return await fetch(sql, *arguments)

        unit.fetch = delete_first
        assert [row["name"] for row in await unit.fetch_locked(NAMES)] == ["7"]


@pytest.mark.parametrize("how", ["flush", "execute", "savepoint"])
async def test_a_change_of_the_orm_after_a_read_of_its_own_is_undone_by_an_error(ledgers, how):
    async def fail():
        async with ledgers.transaction() as unit:
            assert await unit.session.scalar(select(Ledger.name)) is None
            if how == "flush":
                unit.session.add(Ledger(name="a", sum=1))
                await unit.session.flush()
            elif how == "execute":
                await unit.session.execute(text("INSERT INTO ledgers VALUES ('a', 1)"))
            else:
                async with unit.savepoint():
                    await unit.session.execute(text("INSERT INTO ledgers VALUES ('a', 1)"))
            assert [row["name"] for row in await unit.fetch(NAMES)] == ["a"]
            assert await names(ledgers) == []
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await names(ledgers) == []


async def test_a_stream_begins_the_transaction_that_its_cursor_needs(ledgers):
    async with ledgers.transaction() as unit:
        await unit.execute(INSERT, "a", 1)
    async with ledgers.transaction() as unit:
        found = await unit.session.stream_scalars(select(Ledger.name))
        assert [name async for name in found] == ["a"]


async def test_an_object_that_a_read_brought_is_changed_at_the_commit(ledgers):
    async with ledgers.transaction() as unit:
        await unit.execute(INSERT, "a", 1)
    async with statements_of_requests(ledgers) as sent, ledgers.transaction() as unit:
        (await unit.session.scalars(select(Ledger))).one().sum = 2
    assert sorted(sql.split()[0] for sql in sent) == ["BEGIN", "COMMIT", "SELECT", "UPDATE"]


async def test_a_read_and_deferred_changes_are_two_round_trips(ledgers):
    async with statements_of_requests(ledgers) as sent, ledgers.transaction() as unit:
        await unit.fetch(NAMES)
        unit.defer(INSERT, "a", 1)
    assert sent == [NAMES, INSERT]
    assert await names(ledgers) == ["a"]


async def test_a_read_that_fails_and_is_caught_leaves_the_changes_possible(ledgers):
    async with ledgers.transaction() as unit:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await unit.fetch("SELECT 1 / 0")
        await unit.execute(INSERT, "a", 1)
    assert await names(ledgers) == ["a"]


async def test_a_change_after_a_begin_that_was_interrupted_is_committed(ledgers):
    """The server has begun the transaction, and the unit does not know."""
    async with ledgers.transaction() as unit:
        await unit.fetch(NAMES)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await unit.begin()
        unit.defer(INSERT, "a", 1)
    assert await names(ledgers) == ["a"]


async def test_a_unit_whose_begin_failed_is_not_committed(ledgers):
    async def fail_and_go_on():
        async with ledgers.transaction() as unit:
            unit.after_commit(lambda: committed.append(unit))
            with pytest.raises(asyncpg.DivisionByZeroError):
                await unit.execute_first("SELECT 1 / 0")

    committed: list[Unit] = []
    with pytest.raises(NotCommittedError):
        await fail_and_go_on()
    assert committed == []


@pytest.mark.parametrize("raised", [None, LookupError])
@pytest.mark.parametrize("opened", ["transaction", "reading"])
async def test_a_read_whose_time_out_is_caught_has_ended_when_its_connection_is_given_back(
    ledgers, opened, raised
):
    async def read():
        async with getattr(ledgers, opened)() as unit:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await unit.fetch(SLOW)
            if raised is not None:
                raise raised

    await fill(ledgers)
    with contextlib.nullcontext() if raised is None else pytest.raises(raised):
        await read()
    assert not any(is_cancelling(held.driver) for held in ledgers._pool._idle)


@pytest.mark.parametrize("opened", ["transaction", "reading"])
async def test_between_the_cancellation_of_a_read_and_its_end_nobody_gets_the_connection(
    ledgers, opened
):
    """The driver asks the server to cancel the statement, and the next one would wait for that."""
    await fill(ledgers)
    assert only_reads(SLOW)

    async def read():
        async with getattr(ledgers, opened)() as unit:
            await unit.fetch(SLOW)

    async def runs():
        async with ledgers.transaction() as unit:
            return (await unit.fetch(ACTIVE, SLOW))[0]["count"] == 1

    task = asyncio.create_task(read())
    await until(runs)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not await runs()
