"""A deleted account: no mail is stored for it or sent to it afterwards."""

import asyncio

import pytest

from chassis.database import new_id
from contracts.examples import example
from contracts.users import EmailChangeNoticeRequested, UserDeleted
from notifications.mail_texts.models import MailKind
from notifications.mails.models import MailDraft
from notifications.mails.wiring import mails

from .conftest import ADDRESS, TOKEN, everything_stored, reset, verification


def notice(**given):
    return example(EmailChangeNoticeRequested, **{"email": ADDRESS, **given})


@pytest.mark.parametrize("request_", [verification, reset, notice], ids=lambda one: one.__name__)
async def test_a_request_that_is_handled_after_the_deletion_stores_nothing(
    request_, consume, send, db, mail_server
):
    """The two are on different topics."""
    user = new_id()
    await consume(example(UserDeleted, user_id=user))
    assert await consume(request_(user_id=user)) == (1, None)
    stored = await everything_stored(db)
    assert ADDRESS not in stored
    assert TOKEN not in stored
    await send()
    assert mail_server.received == []


async def test_while_a_request_waits_for_the_feed_the_account_is_deleted(
    consume, owner, db, until_blocked
):
    """Between the snapshot of the statement and its lock: the statement sees no deletion."""
    user = new_id()
    await consume(verification(user_id=user))
    async with owner.transaction():
        await owner.execute("UPDATE feed_heads SET is_closed = true WHERE user_id = $1", user)
        await owner.execute("DELETE FROM mails WHERE user_id = $1", user)
        requesting = asyncio.create_task(consume(verification(user_id=user), reset()))
        await until_blocked()
    assert await requesting == (2, None)
    assert await db.fetchval("SELECT count(*) FROM mails WHERE user_id = $1", user) == 0
    assert await db.fetchval("SELECT count(*) FROM mails") == 1


async def test_between_the_check_of_a_request_and_its_commit_the_deletion_waits_and_then_erases_it(
    consume, worker_resources, db, until_blocked
):
    user = new_id()
    draft = MailDraft(
        kind=MailKind.PASSWORD_RESET,
        user_id=user,
        source_event_id="event",
        recipient=ADDRESS,
        locale="en",
        token=TOKEN,
        expires_at=reset().expires_at,
    )
    async with worker_resources.database.transaction() as unit:
        await mails(worker_resources, unit).request(draft)
        deleting = asyncio.create_task(consume(example(UserDeleted, user_id=user), partition=1))
        await until_blocked()
        assert not deleting.done()
    assert await deleting == (1, None)
    assert await db.fetchval("SELECT count(*) FROM mails") == 0
