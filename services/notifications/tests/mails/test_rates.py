"""At most so many notifications a minute go to one user by mail, from all workers together."""

import asyncio
from datetime import timedelta

import pytest

from chassis.database import new_id
from chassis.jobs import PostponedError
from contracts.examples import example
from contracts.users import UserRegistered
from notifications.mails.wiring import mails
from notifications.recipients.models import MailRate
from notifications.recipients.repository import RecipientRepository

from .conftest import states, verification
from .test_failures import BLOCKED
from .test_notices import notice


@pytest.fixture
def more_settings(more_settings):
    return more_settings | {"mails_per_minute": 3}


@pytest.fixture
def write(resources):
    async def run(*notices):
        async with resources.database.transaction() as unit:
            await mails(resources, unit).send_notices(notices)

    return run


@pytest.fixture
def attempt(send_each):
    """Run the job of each waiting mail once, all at the same time; return how many were put off."""

    async def run(attempts=None):
        attempts = await send_each() if attempts is None else attempts
        ended = await asyncio.gather(*attempts, return_exceptions=True)
        assert all(one is None or isinstance(one, PostponedError) for one in ended), ended
        return [one.delay for one in ended if isinstance(one, PostponedError)]

    return run


async def test_further_mails_wait_for_at_least_the_time_that_the_rate_says(
    member, write, attempt, mail_server, db
):
    user = await member()
    await write(*(notice(user) for _ in range(5)))
    waits = await attempt()
    assert len(mail_server.received) == 3
    assert len(waits) == 2
    step = timedelta(seconds=20)
    assert all(step - timedelta(seconds=5) < wait <= step + timedelta(minutes=1) for wait in waits)
    assert [state for state, *_ in await states(db)].count("waiting") == 2
    await db.execute("UPDATE recipients SET mails_due_at = now() + interval '41 seconds'")
    assert len(await attempt()) == 2
    await db.execute("UPDATE recipients SET mails_due_at = now() + interval '19 seconds'")
    assert await attempt() == []
    assert {state for state, *_ in await states(db)} == {"sent"}


async def test_between_two_workers_reading_the_rate_only_as_many_mails_go_as_it_allows(
    member, write, send_each, attempt, mail_server, owner, db, eventually
):
    """Both wait for the user's row. A worker that had read before it would send as well."""
    user = await member()
    await write(notice(user), notice(user))
    await db.execute("UPDATE recipients SET mails_due_at = now() + interval '40 seconds'")
    attempts = await send_each()
    async with owner.transaction():
        await owner.execute("SELECT FROM recipients FOR UPDATE")
        attempting = asyncio.create_task(attempt(attempts))
        await eventually(lambda: db.fetchval(f"{BLOCKED} HAVING count(*) = 2"))
    assert len(await attempting) == 1
    assert len(mail_server.received) == 1


async def test_one_users_mails_do_not_hold_up_those_of_another(member, write, attempt, mail_server):
    user, other = await member(), await member("b@example.com")
    await write(*(notice(user) for _ in range(4)), notice(other))
    assert len(await attempt()) == 1
    assert mail_server.recipients.count("b@example.com") == 1


async def test_security_mails_and_links_are_neither_counted_nor_put_off(
    member, consume, write, attempt, mail_server
):
    user = await member()
    await write(*(notice(user) for _ in range(4)))
    await write(*(notice(user, "user.email_changed") for _ in range(4)))
    await consume(*(verification(user_id=user) for _ in range(4)))
    assert len(await attempt()) == 1
    assert len(mail_server.received) == 3 + 4 + 4


async def test_a_full_bucket_takes_one_more_after_each_step(resources, consume, db):
    user, rate = new_id(), MailRate(limit=2)
    await consume(example(UserRegistered, user_id=user, version=1))

    async def take():
        async with resources.database.transaction() as unit:
            return await RecipientRepository(unit).take_turn(user, rate)

    assert [await take(), await take()] == [None, None]
    assert timedelta(seconds=25) < await take() <= timedelta(seconds=30)
    await db.execute("UPDATE recipients SET mails_due_at = mails_due_at - interval '30 seconds'")
    assert await take() is None
    assert await take() is not None
