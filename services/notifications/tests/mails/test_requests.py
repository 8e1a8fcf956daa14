"""An event asks for a mail; a job sends it, and nothing secret is left."""

from datetime import UTC, datetime, timedelta

import pytest

from chassis.database import new_id
from contracts.examples import example
from contracts.users import UserEmailChanged, UserProfileUpdated, UserRegistered

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


async def test_the_previous_address_is_told_that_the_account_has_another_one(
    consume, send, db, mail_server
):
    user = new_id()
    registered = example(UserRegistered, user_id=user, version=1, email="old@example.com")
    changed = UserEmailChanged(version=2, user_id=user, email="new@example.com")
    assert await consume(registered, changed) == (2, None)
    await send()
    [mail] = mail_server.received
    assert mail_server.recipients == ["old@example.com"]
    assert mail["Subject"] == "The e-mail address of your account was changed"
    whole = text_of(mail) + html_of(mail)
    assert "new@example.com" not in whole
    assert registered.full_name not in whole
    assert await db.fetchval("SELECT email FROM recipients") == "new@example.com"
    assert await states(db) == [("sent", None, None, None)]


async def test_each_change_is_told_to_the_address_before_it(consume, send, mail_server):
    user = new_id()
    await consume(
        example(UserRegistered, user_id=user, version=1, email="a@example.com"),
        UserEmailChanged(version=2, user_id=user, email="b@example.com"),
        UserProfileUpdated(version=3, user_id=user, full_name="Ada"),
        UserEmailChanged(version=4, user_id=user, email="c@example.com"),
        UserEmailChanged(version=2, user_id=user, email="b@example.com"),
    )
    await send()
    assert mail_server.recipients == ["a@example.com", "b@example.com"]


@pytest.mark.parametrize("known", [True, False], ids=["without an address", "not known"])
async def test_nobody_is_told_if_the_previous_address_is_not_known(
    known, consume, db, send, mail_server
):
    user = new_id()
    if known:
        await consume(UserProfileUpdated(version=3, user_id=user, full_name="Ada"))
    assert await consume(UserEmailChanged(version=4, user_id=user, email="n@example.com")) == (
        1,
        None,
    )
    await send()
    assert mail_server.received == []
    assert await db.fetchval("SELECT email FROM recipients") == ("n@example.com" if known else None)
