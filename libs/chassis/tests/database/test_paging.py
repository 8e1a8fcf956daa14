"""Keyset pages of generated rows in PostgreSQL: each row once, in the declared order."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select
from sqlalchemy.dialects import postgresql

from chassis.database.ids import new_id
from chassis.paging import (
    BigSerial,
    ListOrder,
    PageRequest,
    PageRows,
    Position,
    TimePosition,
    subquery_of,
)

from .conftest import Entry

START = datetime(2026, 1, 1, tzinfo=UTC)
# Few times and many rows, so that most rows have the same time as another.
ROWS = st.lists(
    st.tuples(st.integers(0, 3).map(lambda us: START + timedelta(microseconds=us)), st.uuids()),
    unique_by=lambda row: row[1],
    max_size=12,
)
OLDEST_FIRST = ListOrder(TimePosition, Entry.at, Entry.id)
NEWEST_FIRST = ListOrder(TimePosition, Entry.at, Entry.id, descending=True)


class NumberPosition(Position):
    number: BigSerial


@dataclass(frozen=True)
class EntryRow:
    number: int
    at: datetime


LISTED = subquery_of("SELECT number, at FROM entries WHERE number >= :least", EntryRow)
BY_NUMBER = ListOrder(NumberPosition, LISTED.c.number)


def sql_of(statement) -> str:
    return " ".join(str(statement.compile(dialect=postgresql.dialect())).split())


def rows_of(pairs) -> list[dict[str, object]]:
    return [
        {"id": identity, "at": at, "number": 2**40 + number}
        for number, (at, identity) in enumerate(pairs)
    ]


async def walked(turn_page, limit: int) -> list[PageRows[Any, Any]]:
    """Return all the pages that `turn_page` returns, each asked for with the end of the last."""
    pages = [await turn_page(PageRequest(limit=limit))]
    while pages[-1].end is not None:
        pages.append(await turn_page(PageRequest(limit=limit, after=pages[-1].end)))
    return pages


def sizes(pages: list[PageRows[Any, Any]]) -> list[int]:
    return [len(page.items) for page in pages]


def sizes_of(rows: int, limit: int) -> list[int]:
    """Return the sizes of full pages, and of the rest; an empty page only for an empty list."""
    full, rest = divmod(rows, limit)
    return [limit] * full + ([rest] if rest or not full else [])


SAME_TIME = [(START, UUID(int=number)) for number in (3, 1, 2)]


@given(pairs=ROWS, limit=st.integers(1, 13), descending=st.booleans())
@example(pairs=SAME_TIME, limit=1, descending=False)
@example(pairs=SAME_TIME, limit=1, descending=True)
@example(pairs=SAME_TIME, limit=3, descending=True)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_a_walk_finds_each_row_once_in_order(ledgers, pairs, limit, descending):
    order = NEWEST_FIRST if descending else OLDEST_FIRST
    expected = sorted(pairs, reverse=descending)
    async with ledgers.transaction() as unit:
        if pairs:
            await unit.session.execute(insert(Entry), rows_of(pairs))

        async def objects(wanted):
            return await order.page(unit.session, select(Entry), wanted)

        async def core_rows(wanted):
            statement = order.bounded(select(Entry.id, Entry.at), wanted)
            return order.cut((await unit.session.execute(statement)).all(), wanted)

        for turn_page in (objects, core_rows):
            pages = await walked(turn_page, limit)
            assert [(row.at, row.id) for page in pages for row in page.items] == expected
            assert sizes(pages) == sizes_of(len(pairs), limit)
        await unit.session.execute(delete(Entry))


async def test_a_select_in_sql_is_paged_with_its_own_parameters(ledgers):
    pairs = [(START, new_id()) for _ in range(7)]
    async with ledgers.transaction() as unit:
        await unit.session.execute(insert(Entry), rows_of(pairs))

        async def turn_page(wanted):
            statement = BY_NUMBER.bounded(select(LISTED), wanted)
            rows = (await unit.session.execute(statement, {"least": 2**40 + 2})).all()
            return BY_NUMBER.cut(rows, wanted)

        pages = await walked(turn_page, 2)
    numbers = [row.number for page in pages for row in page.items]
    assert numbers == [2**40 + number for number in range(2, 7)]
    assert sizes(pages) == [2, 2, 1]


@pytest.mark.parametrize("gone", [False, True])
async def test_rows_that_come_and_go_between_two_pages_move_no_other(ledgers, gone):
    """A page by offset would repeat or skip a row here."""
    ids = [UUID(int=number) for number in range(1, 5)]
    async with ledgers.transaction() as unit:
        await unit.session.execute(insert(Entry), rows_of([(START, one) for one in ids]))
        first = await OLDEST_FIRST.page(unit.session, select(Entry), PageRequest(limit=2))
        if gone:
            await unit.session.delete(first.items[1])
            await unit.session.flush()
        else:
            await unit.session.execute(insert(Entry), rows_of([(START, UUID(int=0))]))
        second = await OLDEST_FIRST.page(
            unit.session, select(Entry), PageRequest(limit=2, after=first.end)
        )
    assert [row.id for row in second.items] == ids[2:]
    assert second.end is None


def test_the_comparison_and_the_sort_have_one_direction():
    after = TimePosition(at=START, id=new_id())
    ascending = sql_of(OLDEST_FIRST.bounded(select(Entry.id), PageRequest(limit=5, after=after)))
    descending = sql_of(NEWEST_FIRST.bounded(select(Entry.id), PageRequest(limit=5, after=after)))
    assert "(entries.at, entries.id) > (" in ascending
    assert "ORDER BY entries.at ASC, entries.id ASC LIMIT" in ascending
    assert "(entries.at, entries.id) < (" in descending
    assert "ORDER BY entries.at DESC, entries.id DESC LIMIT" in descending


def test_the_first_page_compares_with_nothing():
    assert "WHERE" not in sql_of(OLDEST_FIRST.bounded(select(Entry.id), PageRequest(limit=5)))


def test_the_filters_of_the_statement_stay():
    wanted = PageRequest(limit=5, after=TimePosition(at=START, id=new_id()))
    written = sql_of(OLDEST_FIRST.bounded(select(Entry.id).where(Entry.number == 1), wanted))
    assert "WHERE entries.number = " in written
    assert " AND (entries.at, entries.id) > (" in written


@pytest.mark.parametrize("columns", [(), (Entry.at,), (Entry.at, Entry.id, Entry.number)])
def test_an_order_without_a_field_for_each_column_is_refused_when_declared(columns):
    with pytest.raises(TypeError, match="one field for each column"):
        ListOrder(TimePosition, *columns)


@pytest.mark.parametrize("number", [-1, 0, 2**63, "1", 1.0, True, None])
def test_a_number_that_sql_would_refuse_is_no_position(number):
    with pytest.raises(ValueError, match="number"):
        NumberPosition(number=number)
