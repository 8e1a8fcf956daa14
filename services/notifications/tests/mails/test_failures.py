"""What a mail server may do instead of accepting a mail."""

import asyncio
import dataclasses
import socket
import traceback
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from chassis.database import new_id
from chassis.jobs import OutsideRun, PostponedError
from notifications.mail_servers.errors import MailDeferredError
from notifications.mail_servers.service import MailServer
from notifications.mails.jobs import expire_mails, prune_mails, send_mail
from notifications.mails.models import SendMail
from notifications.mails.wiring import mails

from .conftest import ADDRESS, TOKEN, everything_stored, reset, server_at, states, verification
from .server import refuse

BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
)
WAITS = [("waiting", ADDRESS, TOKEN, None)]


@pytest.mark.parametrize("step", ["on_rcpt", "on_data"])
async def test_a_refusal_for_good_is_not_repeated_and_erases_the_mail(
    step, consume, send, db, mail_server
):
    setattr(mail_server, step, refuse(f"550 5.1.1 <{ADDRESS}> is unknown here"))
    await consume(verification())
    await send()
    await send()
    assert len(mail_server.recipients) == 1
    what = "recipient" if step == "on_rcpt" else "content"
    error = f"The mail server refused the {what} with 550 5.1.1."
    assert await states(db) == [("rejected", None, None, error)]


@pytest.mark.parametrize("step", ["on_rcpt", "on_data"])
async def test_a_refusal_that_may_pass_is_repeated_with_the_same_message_id(
    step, consume, send, db, mail_server
):
    setattr(mail_server, step, refuse(f"451 4.7.1 <{ADDRESS}> greylisted, token={TOKEN}"))
    await consume(verification())
    with pytest.raises(MailDeferredError, match=r"refused the \w+ with 451 4\.7\.1\.$"):
        await send()
    assert await states(db) == WAITS
    setattr(mail_server, step, refuse("250 accepted"))
    await send()
    assert len({mail["Message-ID"] for mail in mail_server.received}) == 1
    assert await states(db) == [("sent", None, None, None)]


@pytest.mark.parametrize("step", ["on_rcpt", "on_data"])
async def test_a_server_that_stalls_does_not_hold_the_job_for_ever(
    step, consume, send, db, mail_server
):
    setattr(mail_server, step, mail_server.stall)
    await consume(verification())
    with pytest.raises(MailDeferredError, match="SMTPReadTimeoutError"):
        await send(over=server_at(mail_server.port, timeout=1))
    assert mail_server.stalled.is_set()
    assert await states(db) == WAITS


async def test_between_the_end_of_data_and_its_response_the_connection_may_end_so_it_is_sent_twice(
    consume, send, db, mail_server
):
    mail_server.on_data = mail_server.drop
    await consume(verification())
    with pytest.raises(MailDeferredError, match="SMTPServerDisconnected"):
        await send()
    mail_server.on_data = refuse("250 accepted")
    await send()
    first, second = mail_server.received
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]
    assert await states(db) == [("sent", None, None, None)]


async def test_between_acceptance_and_its_record_the_worker_may_stop_so_it_is_sent_twice(
    consume, send, db, owner, mail_server, eventually
):
    """The record waits for a lock, and the worker is stopped there."""
    await consume(verification())
    async with owner.transaction():
        await owner.execute("SELECT FROM mails FOR UPDATE")
        sending = asyncio.create_task(send())
        await eventually(lambda: len(mail_server.received) == 1)
        await eventually(lambda: db.fetchval(BLOCKED))
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
    assert await states(db) == WAITS
    await send()
    first, second = mail_server.received
    assert first["Message-ID"] == second["Message-ID"]
    assert await states(db) == [("sent", None, None, None)]


async def test_between_acceptance_and_its_record_postgresql_may_fail_and_the_record_is_repeated(
    consume, send, db, owner, mail_server, eventually, database
):
    """The mail is not repeated: the record's connection ends while it waits for a lock."""
    await consume(verification())
    admin = await asyncpg.connect(database.superuser_url)
    async with owner.transaction():
        await owner.execute("SELECT FROM mails FOR UPDATE")
        sending = asyncio.create_task(send())
        await eventually(lambda: len(mail_server.received) == 1)
        await eventually(lambda: db.fetchval(BLOCKED))
        ended = BLOCKED.replace("count(*)", "pg_terminate_backend(pid, 5000)")
        assert await admin.fetchval(ended)
    await admin.close()
    await sending
    assert len(mail_server.received) == 1
    assert await states(db) == [("sent", None, None, None)]


async def test_between_acceptance_and_its_record_the_user_may_be_erased_and_stays_so(
    consume, send, db, mail_server, resources
):
    async def erase_and_accept(_):
        async with resources.database.transaction() as unit:
            await mails(resources, unit).erase_waiting(user)
        return "250 accepted"

    user = new_id()
    mail_server.on_data = erase_and_accept
    await consume(verification(user_id=user))
    await send()
    assert await states(db) == []


async def test_a_server_that_is_not_there_defers_the_mail(consume, send, db):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    await consume(verification())
    with pytest.raises(MailDeferredError, match=r"^The connection or log-in failed: SMTPConnect"):
        await send(over=server_at(nobody))
    assert await states(db) == WAITS


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.com\r\nBcc: eve@example.com",
        "ada@example.com> SIZE=1 <eve@example.com",
        "ada@example.com, eve@example.com",
        "Ada <ada@example.com>",
        "ada",
        "@example.com",
        "ada@",
        "ada@\u2488com",
    ],
)
async def test_an_address_that_is_none_is_rejected_before_the_server_sees_it(
    address, consume, send, db, mail_server
):
    assert await consume(verification(email=address)) == (1, None)
    await send()
    assert mail_server.recipients == []
    [(state, recipient, token, error)] = await states(db)
    assert (state, recipient, token) == ("rejected", None, None)
    assert "example" not in error


async def test_an_address_beyond_ascii_arrives(consume, send, mail_server):
    """The domain goes out by IDNA 2008: that of 2003 would write to another one, strasse.de."""
    await consume(verification(email="jürgen@straße.de"), verification(email="ada@bücher.example"))
    await send()
    assert mail_server.recipients == ["jürgen@xn--strae-oqa.de", "ada@xn--bcher-kva.example"]


async def test_waiting_mails_are_erased_once_they_expire(consume, db, resources):
    await consume(
        reset(expires_at=datetime.now(UTC) - timedelta(seconds=1)),
        verification(expires_at=datetime.now(UTC) + timedelta(hours=1)),
    )
    async with resources.database.transaction() as unit:
        assert await expire_mails(unit, 10) == 1
    assert [row[:3] for row in await states(db)] == [("expired", None, None), WAITS[0][:3]]


async def test_settled_mails_are_deleted_after_their_time_and_waiting_ones_are_not(
    consume, send, db, resources
):
    await consume(verification(), reset())
    await send()
    await consume(verification())
    await db.execute("UPDATE mails SET settled_at = settled_at - interval '31 days'")
    async with resources.database.transaction() as unit:
        assert await prune_mails(unit, 10) == 2
    assert await states(db) == WAITS


async def test_without_a_mail_server_mails_wait_and_no_job_fails(consume, db, worker_resources):
    """A failed job would be logged as an error for each mail, and be dead in the end."""
    await consume(verification())
    nowhere = dataclasses.replace(worker_resources, mail_server=MailServer(server=None))
    [job] = await db.fetch("SELECT arguments FROM jobs")
    with pytest.raises(PostponedError):
        await send_mail(
            SendMail.model_validate_json(job["arguments"]),
            OutsideRun(resources=nowhere, job_id=1, attempt=1),
        )
    assert await states(db) == WAITS


@pytest.mark.parametrize("code", [451, 550])
async def test_a_response_that_quotes_the_address_is_neither_stored_nor_logged(
    code, consume, send, db, mail_server, capsys
):
    mail_server.on_rcpt = refuse(f"{code} {ADDRESS} is refused")
    await consume(verification())
    refused = await asyncio.gather(send(), return_exceptions=True)
    # As a span records an error, with the causes that are shown.
    shown = [traceback.format_exception(error) for error in refused if error is not None]
    assert len(shown) == (code == 451)
    assert ADDRESS not in str(shown)
    await db.execute(
        "UPDATE mails SET state = 'expired', recipient = NULL, token = NULL,"
        " settled_at = now() WHERE state = 'waiting'"
    )
    assert ADDRESS not in await everything_stored(db)
    printed = capsys.readouterr()
    assert ADDRESS not in printed.out + printed.err
    assert TOKEN not in printed.out + printed.err
