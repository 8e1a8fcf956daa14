"""Notifications by mail: to a verified address, once, and to nobody who is gone."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from chassis.database import new_id
from contracts.examples import example
from contracts.orders import OrderConfirmed, OrderShipped
from contracts.users import (
    UserDeleted,
    UserEmailChanged,
    UserEmailVerified,
    UserProfileUpdated,
    UserRegistered,
    UserSnapshot,
)
from notifications.kinds.models import KINDS, Channel, Notice
from notifications.mail_servers.errors import MailDeferredError
from notifications.mail_texts.models import MailKind
from notifications.mails.jobs import expire_mails
from notifications.mails.wiring import mails
from testkit.statements import statements_in_transaction

from .conftest import ADDRESS, everything_stored, states, verification
from .server import refuse
from .test_requests import html_of, text_of

WAITING = "SELECT count(*) FROM mails WHERE state = 'waiting'"


def notice(user, type_="order.placed", **given):
    kind = KINDS[type_]
    made = {
        "id": new_id(),
        "user_id": user,
        "event_id": 1,
        "source_event_id": str(new_id()),
        "type": type_,
        "category": kind.category,
        "channels": frozenset({Channel.EMAIL}),
        "locale": "en",
        "title": "The title",
        "body": "The body",
        "data": {"order_id": str(new_id())},
        "created_at": datetime.now(UTC),
        "traceparent": None,
    }
    return Notice(**made | given)


@pytest.fixture
def write(resources):
    """Write mails of notices in one transaction."""

    async def run(*notices):
        async with resources.database.transaction() as unit:
            await mails(resources, unit).send_notices(notices)

    return run


async def test_an_order_becomes_a_mail_to_its_customer(
    member, consume, placed, send, db, mail_server
):
    user = await member()
    order = placed(user)
    assert await consume(order) == (1, None)
    await send()
    [mail] = mail_server.received
    assert mail_server.recipients == [ADDRESS]
    assert mail["Subject"] == "We have received your order"
    assert str(order.order_id) in text_of(mail)
    assert str(order.order_id) in html_of(mail)
    assert (mail["Auto-Submitted"], mail["Content-Language"]) == ("auto-generated", "en")
    assert await states(db) == [("sent", None, None, None)]


async def test_kinds_without_the_channel_and_texts_make_no_mail_and_those_with_it_do(
    member, consume, send, mail_server
):
    user = await member()
    await consume(
        example(OrderConfirmed, customer_id=user, version=2),
        example(OrderShipped, customer_id=user, version=3),
    )
    await send()
    assert [mail["Subject"] for mail in mail_server.received] == ["Your order is on its way"]


async def test_a_kind_without_templates_has_the_texts_of_the_app(member, write, send, mail_server):
    await write(notice(await member(), "user.email_changed", title="Hi", body="<b>You</b>"))
    await send()
    [mail] = mail_server.received
    assert mail["Subject"] == "Hi"
    assert "<b>You</b>" in text_of(mail)
    assert "&lt;b&gt;You&lt;/b&gt;" in html_of(mail)
    assert mail["List-Unsubscribe"] is None
    assert "Switch" not in text_of(mail)


@pytest.mark.parametrize("kind", [k for k in KINDS.values() if Channel.EMAIL in k.channels])
async def test_each_kind_with_the_channel_can_be_sent(kind, member, write, send, mail_server):
    await write(notice(await member(), kind.type))
    await send()
    [mail] = mail_server.received
    assert mail["Subject"].isprintable()
    assert "\n\n\n" not in text_of(mail)


@pytest.mark.parametrize(
    ("events", "mailed"),
    [
        ([], []),
        ([example(UserRegistered, version=1)], []),
        ([example(UserEmailVerified, version=2, email="b@example.com")], ["b@example.com"]),
        ([example(UserSnapshot, version=2, email_verified=False)], []),
        ([example(UserSnapshot, version=2, email="b@example.com")], ["b@example.com"]),
        (
            [
                example(UserRegistered, version=1),
                UserEmailChanged(version=2, user_id=new_id(), email="c@example.com"),
                UserProfileUpdated(version=3, user_id=new_id(), full_name="Ada"),
            ],
            ["c@example.com"],
        ),
    ],
    ids=["unknown", "unverified", "verified", "unverified snapshot", "snapshot", "changed"],
)
async def test_only_a_verified_address_gets_mails(
    events, mailed, consume, placed, send, mail_server, db
):
    user = new_id()
    for event in events:
        await consume(event.model_copy(update={"user_id": user}), partition=1)
    await db.execute("DELETE FROM mails")  # to the previous address
    await consume(placed(user))
    await send()
    assert mail_server.recipients == mailed


async def test_a_snapshot_of_the_same_version_says_that_the_address_is_verified(
    consume, placed, send, mail_server
):
    """Events of before this was stored did not say so; a replay of users does."""
    user = new_id()
    await consume(example(UserRegistered, user_id=user, version=1), partition=1)
    await consume(example(UserSnapshot, user_id=user, version=1, email_verified=True), partition=1)
    await consume(placed(user))
    await send()
    assert len(mail_server.recipients) == 1


async def test_one_event_is_mailed_once_even_if_nothing_else_remembers_it(
    member, consume, placed, write, send, db, mail_server
):
    user = await member()
    order, event_id = placed(user), new_id()
    await consume(order, event_id=event_id)
    await db.execute("DELETE FROM inbox")
    await consume(order, event_id=event_id)
    await db.execute("DELETE FROM notifications")
    await write(notice(user, source_event_id=str(event_id)))
    await send()
    await send()
    assert len(mail_server.received) == 1


@pytest.mark.parametrize("count", [0, 1, 50])
async def test_a_batch_is_one_statement_and_an_empty_one_none(count, member, resources, db):
    user = await member()
    async with statements_in_transaction(resources.database) as (unit, sent):
        await mails(resources, unit).send_notices([notice(user) for _ in range(count)])
        await mails(resources, unit).send_notices(
            [notice(user, channels=frozenset({Channel.IN_APP}))]
        )
        await asyncio.sleep(0)
        assert len(sent) == min(count, 1)
    assert await db.fetchval(WAITING) == count
    assert await db.fetchval("SELECT count(*) FROM jobs WHERE queue = 'mail'") == count


async def test_a_mail_is_sent_in_the_trace_of_its_event(member, write, db):
    traces = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2)]
    user = await member()
    await write(*(notice(user, traceparent=trace) for trace in traces))
    rows = await db.fetch("SELECT traceparent FROM jobs WHERE queue = 'mail' ORDER BY traceparent")
    assert [row["traceparent"] for row in rows] == traces


async def test_the_content_goes_with_the_record_and_no_address_is_stored_with_it(
    member, write, send, db, capsys
):
    user = await member()
    await write(notice(user, title="Secret title", data={"order_id": "secret-order"}))
    assert ADDRESS not in await db.fetchval("SELECT to_jsonb(m)::text FROM mails AS m")
    await send()
    stored = await everything_stored(db)
    assert "Secret title" not in stored
    assert "secret-order" not in stored
    printed = capsys.readouterr()
    for secret in (ADDRESS, "Secret title", "secret-order"):
        assert secret not in printed.out + printed.err


async def test_between_the_notification_and_its_mail_the_address_changes_and_the_new_one_gets_it(
    member, consume, write, send, mail_server, db
):
    user = await member()
    await write(notice(user))
    await consume(UserEmailChanged(version=3, user_id=user, email="new@example.com"), partition=1)
    await db.execute("DELETE FROM mails WHERE kind = $1", MailKind.EMAIL_CHANGED)
    await send()
    assert mail_server.recipients == ["new@example.com"]


async def test_a_deleted_account_gets_no_mail_and_keeps_none(
    member, consume, write, placed, send, mail_server, db
):
    user, other = await member(), await member("b@example.com")
    await write(notice(user), notice(other))
    await consume(example(UserDeleted, user_id=user, version=9), partition=1)
    await consume(placed(user))
    assert await db.fetchval("SELECT array_agg(user_id) FROM mails") == [other]
    await send()
    assert mail_server.recipients == ["b@example.com"]


async def test_between_the_statement_of_a_mail_and_its_commit_the_account_is_deleted(
    member, consume, resources, send, mail_server, db
):
    """The deletion does not see the mail yet. The mail's job finds no address, and erases it."""
    user = await member()
    async with resources.database.transaction() as unit:
        await mails(resources, unit).send_notices([notice(user)])
        assert await consume(example(UserDeleted, user_id=user, version=9), partition=1) == (
            1,
            None,
        )
    assert await db.fetchval(WAITING) == 1
    await send()
    assert mail_server.recipients == []
    assert await db.fetchval("SELECT count(*) FROM mails") == 0


async def test_a_refused_address_gets_only_security_mails_until_it_changes(
    member, consume, write, send, mail_server, db
):
    user = await member()
    await write(notice(user), notice(user))
    mail_server.on_rcpt = refuse("550 5.1.1 no such user")
    await send()
    assert mail_server.recipients == [ADDRESS]  # the second one was not tried
    assert {row[0] for row in await states(db)} == {"rejected"}
    mail_server.on_rcpt = refuse("250 accepted")
    await write(notice(user), notice(user, "user.email_changed"))
    await send()
    assert mail_server.recipients == [ADDRESS] * 2
    await consume(UserProfileUpdated(version=3, user_id=user, full_name="Ada"), partition=1)
    await write(notice(user))
    await consume(example(UserEmailVerified, version=4, user_id=user, email=ADDRESS), partition=1)
    await write(notice(user))
    await send()
    assert mail_server.recipients == [ADDRESS] * 3


async def test_a_refused_address_is_not_held_against_the_next_one(
    member, consume, write, send, mail_server, db
):
    user = await member()

    async def change_and_refuse(_):
        await consume(UserEmailChanged(version=3, user_id=user, email="n@example.com"), partition=1)
        return "550 5.1.1 no such user"

    await write(notice(user))
    mail_server.on_rcpt = change_and_refuse
    await send()
    assert await db.fetchval("SELECT email_refused_at FROM recipients") is None


async def test_a_refused_content_is_not_held_against_the_address(
    member, write, send, mail_server, db
):
    mail_server.on_data = refuse("554 5.6.0 no")
    await write(notice(await member()))
    await send()
    assert await db.fetchval("SELECT email_refused_at FROM recipients") is None


async def outcomes_of(db, notification):
    rows = await db.fetch(
        "SELECT type, convert_from(payload, 'UTF8')::json AS data FROM outbox"
        " WHERE type LIKE 'notification.%' AND headers ->> 'ce_subject' = $1 ORDER BY seq",
        str(notification),
    )
    return [(row["type"], json.loads(row["data"])) for row in rows]


@pytest.mark.parametrize(
    ("response", "type_", "reason"),
    [
        ("250 accepted", "notification.delivered.v1", None),
        (
            f"550 5.1.1 <{ADDRESS}> is unknown",
            "notification.failed.v1",
            "The mail server refused the recipient with 550 5.1.1.",
        ),
    ],
)
async def test_what_became_of_it_is_announced_once(
    response, type_, reason, member, write, send, mail_server, db
):
    mailed = notice(await member())
    await write(mailed)
    mail_server.on_rcpt = refuse(response)
    await send()
    await send()
    [(announced, data)] = await outcomes_of(db, mailed.id)
    assert announced == type_
    assert (data["channel"], data["user_id"]) == ("email", str(mailed.user_id))
    assert data.get("reason") == reason


async def test_a_mail_that_waits_or_is_no_notification_announces_nothing(
    member, consume, write, send, mail_server, db
):
    await write(notice(await member()))
    mail_server.on_rcpt = refuse("451 4.7.1 later")
    with pytest.raises(MailDeferredError):
        await send()
    mail_server.on_rcpt = refuse("250 accepted")
    await db.execute("DELETE FROM jobs")
    await consume(verification())
    await send()
    assert len(mail_server.received) == 1
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0


async def test_an_expired_notification_is_announced_as_failed_even_if_its_job_was_given_up(
    member, write, send, resources, db, mail_server
):
    user = await member()
    notices = [notice(user), notice(user)]
    await write(*notices)
    await db.execute("UPDATE mails SET expires_at = now() - interval '1 minute'")
    async with resources.database.transaction() as unit:
        assert await expire_mails(unit, 10) == 0
    await db.execute(
        "UPDATE mails SET expires_at = now() - interval '61 minutes'"
        " WHERE id = (SELECT min(id::text)::uuid FROM mails)"
    )
    async with resources.database.transaction() as unit:
        assert await expire_mails(unit, 10) == 0  # its job still waits
    await db.execute("UPDATE jobs SET state = 'dead', finished_at = now() WHERE state = 'waiting'")
    for enqueued in (1, 0):
        async with resources.database.transaction() as unit:
            assert await expire_mails(unit, 10) == enqueued
    await send()
    assert mail_server.received == []
    assert {row[0] for row in await states(db)} == {"expired"}
    for one in notices:
        [(announced, data)] = await outcomes_of(db, one.id)
        assert announced == "notification.failed.v1"
        assert data["reason"] == "The mail server did not accept the mail in time."
