"""Connections to the mail server are kept and used again."""

import asyncio
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from notifications.mail_servers.errors import MailDeferredError, MailRejectedError
from notifications.mail_servers.models import PoolPace
from notifications.mail_servers.service import MailServer

from .conftest import server_at
from .server import refuse


def message(number=0):
    made = EmailMessage(policy=SMTP)
    made["Subject"] = str(number)
    made.set_content("Grüße")
    return made


@asynccontextmanager
async def pool_of(server, *, connections=4, **pace):
    made = MailServer(server=server_at(server.port), connections=connections, pace=PoolPace(**pace))
    try:
        yield made
    finally:
        await made.close()


async def send(pool, number=0):
    await pool.send(message(number), sender="a@example.com", recipient="ada@example.com")


async def test_fifty_mails_need_no_more_connections_than_the_pool_has(mail_server):
    async with pool_of(mail_server, connections=4) as pool:
        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(send(pool, number))
        assert {mail["Subject"] for mail in mail_server.received} == {str(n) for n in range(50)}
        assert mail_server.connections == 4
        assert mail_server.quits == 0
    assert mail_server.quits == 4


async def test_mails_one_after_the_other_share_one_connection(mail_server):
    async with pool_of(mail_server) as pool:
        for number in range(10):
            await send(pool, number)
        assert mail_server.connections == 1


async def test_a_refused_recipient_leaves_nothing_to_the_next_mail(mail_server):
    """RSET removes the refused envelope; otherwise the server rejects a second MAIL."""
    async with pool_of(mail_server) as pool:
        mail_server.on_rcpt = refuse("550 5.1.1 unknown")
        with pytest.raises(MailRejectedError):
            await send(pool)
        mail_server.on_rcpt = refuse("250 accepted")
        await send(pool, 2)
        assert [mail["Subject"] for mail in mail_server.received] == ["2"]
        assert mail_server.connections == 1


async def test_idle_connections_that_died_are_replaced(mail_server):
    async with pool_of(mail_server) as pool:
        await asyncio.gather(send(pool), send(pool))
        mail_server.disconnect()
        await asyncio.gather(send(pool), send(pool))
        assert len(mail_server.received) == 4
        assert mail_server.connections == 4


@pytest.mark.parametrize("end", ["421 4.7.0 too many messages", None])
async def test_a_server_that_ends_a_connection_after_some_mails_gets_all_of_them(mail_server, end):
    """It accepts RSET, and ends the connection in place of its response to MAIL, or with 421."""
    begun = 0

    async def at_most_three(envelope):
        nonlocal begun
        begun += 1
        if begun % 4:
            return "250 accepted"
        return end or await mail_server.drop(envelope)

    mail_server.on_mail = at_most_three
    async with pool_of(mail_server) as pool:
        for number in range(7):
            await send(pool, number)
    assert [mail["Subject"] for mail in mail_server.received] == [str(n) for n in range(7)]
    assert mail_server.connections == 3


async def test_a_new_connection_whose_sender_is_refused_is_not_replaced_again(mail_server):
    mail_server.on_mail = refuse("421 4.3.2 closing")
    async with pool_of(mail_server) as pool:
        with pytest.raises(MailDeferredError, match=r"refused the sender with 421 4\.3\.2\.$"):
            await send(pool)
    assert mail_server.connections == 1


async def test_after_421_the_connection_is_not_used_again(mail_server):
    async with pool_of(mail_server) as pool:
        mail_server.on_rcpt = refuse("421 4.3.2 closing")
        with pytest.raises(MailDeferredError, match=r"refused the recipient with 421 4\.3\.2\.$"):
            await send(pool)
        mail_server.on_rcpt = refuse("250 accepted")
        await send(pool)
    assert mail_server.connections == 2


async def test_an_idle_connection_that_stalls_is_replaced(mail_server):
    async with pool_of(mail_server, check_seconds=0.2) as pool:
        await send(pool)
        mail_server.on_rset = mail_server.stall
        await send(pool)
        assert mail_server.stalled.is_set()
    assert mail_server.connections == 2
    assert len(mail_server.received) == 2


async def test_an_idle_connection_is_closed_after_its_time(mail_server, eventually):
    async with pool_of(mail_server, idle_seconds=0.05) as pool:
        await send(pool)
        await eventually(lambda: mail_server.quits == 1)
        await send(pool)
    assert mail_server.connections == 2


async def test_a_connection_is_closed_after_its_number_of_mails(mail_server):
    async with pool_of(mail_server, mails=2) as pool:
        for _ in range(5):
            await send(pool)
    assert mail_server.connections == 3
    assert mail_server.quits == 3


async def test_between_the_close_of_the_pool_and_the_end_of_a_mail_its_connection_is_closed_too(
    mail_server,
):
    arrived, proceed = asyncio.Event(), asyncio.Event()

    async def hold(_):
        arrived.set()
        await proceed.wait()
        return "250 accepted"

    mail_server.on_data = hold
    async with pool_of(mail_server) as pool:
        sending = asyncio.create_task(send(pool))
        await arrived.wait()
        await pool.close()
        proceed.set()
        await sending
        assert mail_server.quits == 1


async def test_a_cancelled_mail_leaves_no_connection(mail_server):
    mail_server.on_data = mail_server.stall
    async with pool_of(mail_server, connections=1) as pool:
        sending = asyncio.create_task(send(pool))
        await mail_server.stalled.wait()
        sending.cancel()
        await asyncio.wait([sending])
        mail_server.on_data = refuse("250 accepted")
        await send(pool)  # the only turn is free again
    assert mail_server.connections == 2
