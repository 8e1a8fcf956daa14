"""An account's live sessions are read from an index, however many have ended."""

from uuid import UUID

import pytest

from chassis.database import new_id
from chassis.paging import PageRequest, TimePosition
from testkit.plans import plans_of_orm
from users.sessions.models import LogInSession
from users.sessions.repository import SessionRepository

FIRST = PageRequest[TimePosition](limit=20)
ADA = UUID(int=1)


@pytest.fixture
def many(owner, database):
    """Store so many sessions of 1,000 accounts; most have ended, and half are of one account."""
    del database  # it empties the tables before

    async def store(count):
        await owner.execute("SET statement_timeout = 0; SET transaction_timeout = 0")
        await owner.execute(
            "INSERT INTO users (id, email, email_key, password_hash, full_name, roles, version)"
            " SELECT lpad(to_hex(n), 32, '0')::uuid, n::text, n::text, '', '', '{customer}', 1"
            " FROM generate_series(1, 1000) AS n"
        )
        await owner.execute(
            "INSERT INTO sessions (id, user_id, created_at, expires_at, revoked_at)"
            " SELECT lpad(to_hex(n), 32, '0')::uuid,"
            " lpad(to_hex(CASE WHEN n % 2 = 0 THEN 1 ELSE 1 + n % 1000 END), 32, '0')::uuid,"
            " now() - n * interval '1 second', now() + interval '30 days',"
            " CASE WHEN n % 10000 > 90 THEN now() END FROM generate_series(1, $1) AS n",
            count,
        )
        await owner.execute("ANALYZE sessions")

    return store


@pytest.fixture
def explain(resources, db):
    """Return the plans of the statements that a call of the repository sends."""

    async def explain(run):
        async with resources.database.transaction() as unit:
            return await plans_of_orm(db, unit, lambda unit: run(SessionRepository(unit)))

    return explain


@pytest.mark.parametrize("count", [30_000, pytest.param(300_000, marks=pytest.mark.slow)])
async def test_a_page_and_the_surplus_are_read_from_the_index_of_live_sessions(
    many, explain, resources, count
):
    await many(count)
    async with resources.database.transaction() as unit:
        end = (await SessionRepository(unit).page(ADA, FIRST)).end
    assert end is not None
    later = PageRequest[TimePosition](limit=20, after=end)
    for wanted in (FIRST, later):
        [plan] = await explain(lambda sessions, wanted=wanted: sessions.page(ADA, wanted))
        assert "ix_sessions_live" in plan, plan
        assert "Sort" not in plan, plan
    newest = LogInSession(id=new_id(), user_id=ADA)
    [plan] = await explain(lambda sessions: sessions.revoke_oldest(newest, keep=100))
    assert "ix_sessions_live" in plan, plan
