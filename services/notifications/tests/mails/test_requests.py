"""An event asks for a mail; a job sends it, and nothing secret is left."""

from datetime import UTC, datetime, timedelta

import pytest

from chassis.database import new_id
from contracts.examples import example
from contracts.users import (
    EmailChangeNoticeRequested,
    UserEmailChanged,
    UserProfileUpdated,
    UserRegistered,
)

from .conftest import ADDRESS, TOKEN, everything_stored, reset, states, verification


def text_of(message):
    return message.get_body(("plain",)).get_content()


def html_of(message):
    return message.get_body(("html",)).get_content()


@pytest.mark.parametrize(
    ("request_", "subject", "link"),
    [
        (verification(), "Confirm your e-mail address", "https://shop.example.com/verify-email"),
        (reset(), "Choose a new password", "https://shop.example.com/reset-password"),
    ],
    ids=["verification", "reset"],
)
async def test_a_request_becomes_one_mail_with_the_link_in_text_and_html(
    request_, subject, link, consume, send, mail_server
):
    assert await consume(request_) == (1, None)
    await send()
    [mail] = mail_server.received
    assert mail_server.recipients == [ADDRESS]
    assert (mail["To"], mail["Subject"]) == (ADDRESS, subject)
    assert mail["From"] == "Slipway <no-reply@shop.example.com>"
    assert (mail["Auto-Submitted"], mail["Content-Language"]) == ("auto-generated", "en")
    assert f"{link}#token={TOKEN}" in text_of(mail).splitlines()
    assert f'href="{link}#token={TOKEN}"' in html_of(mail)
    assert f"{request_.expires_at:%Y-%m-%d %H:%M} UTC" in text_of(mail)


async def test_once_it_is_sent_no_row_has_the_secret_or_the_address(consume, send, db, mail_server):
    await consume(verification())
    [waiting] = await db.fetch("SELECT arguments::text FROM jobs")
    assert TOKEN not in waiting["arguments"]
    assert ADDRESS not in waiting["arguments"]
    await send()
    assert len(mail_server.received) == 1
    assert await states(db) == [("sent", None, None, None)]
    stored = await everything_stored(db)
    assert TOKEN not in stored
    assert ADDRESS not in stored


async def test_an_event_that_is_delivered_again_sends_no_second_mail(
    consume, send, db, mail_server
):
    """Not even after the inbox has deleted it."""
    request, event_id = verification(), new_id()
    await consume(request, event_id=event_id)
    await consume(request, event_id=event_id)
    await db.execute("DELETE FROM inbox")
    assert await consume(request, event_id=event_id) == (1, None)
    await send()
    await send()
    assert len(mail_server.received) == 1


async def test_two_requests_of_one_user_are_two_mails(consume, send, mail_server):
    user = new_id()
    await consume(verification(user_id=user), verification(user_id=user, token="another"))
    await send()
    assert len({mail["Message-ID"] for mail in mail_server.received}) == 2


async def test_an_expired_mail_is_erased_and_not_sent(consume, send, db, mail_server):
    await consume(reset(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    await send()
    assert mail_server.received == []
    assert await states(db) == [("expired", None, None, None)]


async def test_a_mail_that_was_erased_while_its_job_waited_is_not_sent(
    consume, send, db, mail_server
):
    await consume(verification())
    await db.execute("DELETE FROM mails")
    await send()
    assert mail_server.received == []


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown so far"])
async def test_the_previous_address_is_told_that_the_account_has_another_one(
    known, consume, send, db, mail_server
):
    user = new_id()
    if known:
        await consume(example(UserRegistered, user_id=user, version=1, email="old@example.com"))
        await consume(UserEmailChanged(version=2, user_id=user, email="new@example.com"))
    notice = example(EmailChangeNoticeRequested, user_id=user, email="old@example.com")
    assert await consume(notice) == (1, None)
    await send()
    [mail] = mail_server.received
    assert mail_server.recipients == ["old@example.com"]
    assert mail["Subject"] == "The e-mail address of your account was changed"
    whole = text_of(mail) + html_of(mail)
    assert "new@example.com" not in whole
    assert example(UserRegistered).full_name not in whole
    assert await states(db) == [("sent", None, None, None)]
    assert "old@example.com" not in await everything_stored(db)


async def test_after_a_change_the_new_address_is_known_even_if_nothing_else_is(consume, db):
    known, unknown = new_id(), new_id()
    await consume(
        UserProfileUpdated(version=3, user_id=known, full_name="Ada"),
        UserEmailChanged(version=4, user_id=known, email="n@example.com"),
        UserEmailChanged(version=3, user_id=known, email="older@example.com"),
        UserEmailChanged(version=4, user_id=unknown, email="m@example.com"),
    )
    rows = await db.fetch("SELECT user_id, email, full_name FROM recipients ORDER BY user_id")
    assert {tuple(row) for row in rows} == {
        (known, "n@example.com", "Ada"),
        (unknown, "m@example.com", ""),
    }
