"""A repeated refresh: the first response was lost, or two tabs refreshed at once."""

import asyncio
import contextlib
from datetime import timedelta

import pytest
from cryptography.exceptions import InvalidTag

from chassis.auth.opaque import new_token, token_hash
from chassis.worker import create_worker
from users.declaration import SERVICE
from users.sessions.jobs import erase_successors
from users.sessions.models import seal, unseal
from users.sessions.repository import SessionRepository
from users.sessions.service import IssuedTokens, Refusal
from users.sessions.wiring import revoker
from users.sessions.wiring import sessions as make_sessions

TOKEN = "/api/v1/auth/token"
ME = "/api/v1/users/me"


@pytest.fixture
def kept(db):
    """Read the copies of successors that the database holds."""

    async def read():
        rows = await db.fetch("SELECT successor, successor_of, successor_until FROM sessions")
        return [dict(row) for row in rows if any(value is not None for value in row.values())]

    return read


@pytest.fixture
def pass_time(db):
    """Shift times in the database as if this much time had passed."""

    async def passed(time):
        await db.execute(
            "UPDATE sessions SET successor_until = successor_until - $1::interval", time
        )

    return passed


@contextlib.asynccontextmanager
async def session_transaction(resources):
    async with resources.database.transaction() as unit:
        yield make_sessions(resources, unit)


async def is_revoked(db):
    return await db.fetchval("SELECT revoked_at IS NOT NULL FROM sessions")


async def test_a_response_that_is_lost_after_the_commit_is_returned_again(
    client, refresh, first, db
):
    lost = await refresh(first)
    again = await refresh(first)

    assert (lost.status_code, again.status_code) == (200, 200)
    assert again.headers["cache-control"] == "no-store"
    one, other = lost.json(), again.json()
    assert one["refresh_token"] == other["refresh_token"]
    for tokens in (one, other):
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert (await client.get(ME, headers=headers)).status_code == 200
    assert (await refresh(other["refresh_token"])).status_code == 200
    assert await db.fetchval("SELECT count(*) FROM refresh_tokens") == 3


async def test_of_twenty_parallel_refreshes_one_chain_survives(refresh, first, db):
    answers = await asyncio.gather(*(refresh(first) for _ in range(20)))

    assert [answer.status_code for answer in answers] == [200] * 20
    (second,) = {answer.json()["refresh_token"] for answer in answers}
    assert await db.fetchval("SELECT count(*) FROM refresh_tokens") == 2
    assert not await is_revoked(db)
    assert (await refresh(second)).status_code == 200


async def test_a_refresh_that_waits_for_the_lock_of_another_gets_its_successor(
    resources, refresh, first, lock_waiters
):
    """The other refresh holds the lock on the family's row; its successor is not committed yet."""
    async with session_transaction(resources) as sessions:
        tokens = await sessions.refresh(first)
        assert isinstance(tokens, IssuedTokens)
        waiting = asyncio.create_task(refresh(first))
        await lock_waiters(1)
    assert (await waiting).json()["refresh_token"] == tokens.refresh_token


async def test_a_refresh_that_waits_for_one_that_rolls_back_makes_the_successor(
    resources, refresh, first, db, lock_waiters
):
    tokens, waiting = await refresh_that_dies(resources, refresh, first, lock_waiters)
    answer = await waiting
    assert answer.status_code == 200
    assert answer.json()["refresh_token"] != tokens.refresh_token
    rolled_back = await refresh(tokens.refresh_token)
    assert rolled_back.json()["error_description"] == Refusal.UNKNOWN
    assert await db.fetchval("SELECT count(*) FROM refresh_tokens") == 2


class DiedError(Exception):
    """Ends a transaction before its commit."""


async def refresh_that_dies(resources, refresh, token, lock_waiters):
    """Roll a refresh back while a second one waits for it; return its tokens, and the second."""
    with contextlib.suppress(DiedError):
        async with session_transaction(resources) as sessions:
            tokens = await sessions.refresh(token)
            waiting = asyncio.create_task(refresh(token))
            await lock_waiters(1)
            raise DiedError
    return tokens, waiting


async def test_a_successor_that_is_used_between_two_repetitions_ends_the_session(
    refresh, first, db, kept
):
    second = (await refresh(first)).json()["refresh_token"]
    assert (await refresh(first)).json()["refresh_token"] == second
    assert (await refresh(second)).status_code == 200

    answer = await refresh(first)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert answer.json()["error_description"] == Refusal.REUSED
    assert await is_revoked(db)
    assert await kept() == []


async def test_a_used_token_ends_the_session_when_its_time_is_over(refresh, first, db, pass_time):
    await refresh(first)
    await pass_time(timedelta(seconds=10))

    assert (await refresh(first)).json()["error_description"] == Refusal.REUSED
    assert await is_revoked(db)


async def test_a_repetition_just_within_its_time_is_accepted(refresh, first, pass_time):
    second = (await refresh(first)).json()["refresh_token"]
    await pass_time(timedelta(seconds=5))

    assert (await refresh(first)).json()["refresh_token"] == second


async def test_a_session_that_ends_between_two_repetitions_gives_nothing(
    resources, refresh, first, db, kept
):
    await refresh(first)
    user_id = await db.fetchval("SELECT id FROM users")
    async with resources.database.transaction() as unit:
        lifetime = resources.signer.lifetime
        await revoker(resources, unit, token_lifetime=lifetime).revoke_all(user_id)

    assert (await refresh(first)).json()["error_description"] == Refusal.REVOKED
    assert await kept() == []


async def test_an_account_deactivated_between_two_repetitions_gets_nothing(refresh, first, db):
    await refresh(first)
    await db.execute("UPDATE users SET is_active = false")

    assert (await refresh(first)).json()["error_description"] == Refusal.INACTIVE
    assert not await is_revoked(db)


async def test_roles_that_change_between_two_repetitions_are_those_of_the_day(refresh, first, db):
    await refresh(first)
    await db.execute("UPDATE users SET roles = ARRAY['support']")

    assert "orders:fulfil" in (await refresh(first)).json()["scope"].split()


async def test_repetitions_of_one_session_leave_others_alone(refresh, first, log_in):
    other = (await log_in())["refresh_token"]
    successors = {(await refresh(token)).json()["refresh_token"] for token in (first, other)}
    repeated = {(await refresh(token)).json()["refresh_token"] for token in (first, other)}
    assert repeated == successors
    assert len(successors) == 2


async def test_the_kept_successor_can_be_read_by_the_holder_of_its_predecessor_alone(
    refresh, first, kept
):
    second = (await refresh(first)).json()["refresh_token"]

    (copy,) = await kept()
    assert second.encode() not in copy["successor"]
    assert unseal(copy["successor"], predecessor=first) == second
    for stranger in (second, new_token(), copy["successor_of"].hex()):
        with pytest.raises(InvalidTag):
            unseal(copy["successor"], predecessor=stranger)


def test_two_copies_of_one_token_differ():
    token, other = new_token(), new_token()
    assert seal(token, predecessor=other) != seal(token, predecessor=other)


async def test_a_copy_is_replaced_when_the_successor_is_used(refresh, first, kept):
    second = (await refresh(first)).json()["refresh_token"]
    (before,) = await kept()
    third = (await refresh(second)).json()["refresh_token"]
    (after,) = await kept()

    assert after["successor_of"] != before["successor_of"]
    assert unseal(after["successor"], predecessor=second) == third
    with pytest.raises(InvalidTag):
        unseal(after["successor"], predecessor=first)


@pytest.fixture
def erase(resources):
    async def erased():
        async with resources.database.transaction() as unit:
            return await erase_successors(unit, 100)

    return erased


async def test_a_copy_is_erased_when_its_time_is_over(refresh, first, erase, kept, pass_time):
    await refresh(first)
    await erase()
    assert len(await kept()) == 1

    await pass_time(timedelta(seconds=10))
    await erase()
    assert await kept() == []
    assert (await refresh(first)).json()["error_description"] == Refusal.REUSED


async def test_a_family_that_is_being_refreshed_holds_no_erasure_up(
    resources, refresh, first, log_in, erase, kept, pass_time
):
    """The refresh locks the family between the erasure's look-up and its change."""
    for token in (first, (await log_in())["refresh_token"]):
        await refresh(token)
    await pass_time(timedelta(seconds=10))
    async with resources.database.transaction() as unit:
        assert await SessionRepository(unit).lock_family(token_hash(first)) is not None
        await erase()
        (left,) = await kept()
        assert left["successor_of"] == token_hash(first)
    await erase()
    assert await kept() == []


async def test_the_worker_erases(settings, refresh, first, kept, pass_time, db):
    await refresh(first)
    await db.execute(
        "INSERT INTO job_schedules VALUES ('prune sessions.successor', 'every 10 s', now())"
    )
    await pass_time(timedelta(seconds=10))
    worker = create_worker(SERVICE, settings)

    async with worker.router.lifespan_context(worker), asyncio.timeout(60):
        while True:  # another task does this, so there is nothing to await
            if not await kept():
                return
            await asyncio.sleep(0.01)
