"""The owner of an account is told of each change of its credentials and its address."""

import pytest

from chassis.database import new_id
from contracts.examples import example
from contracts.users import (
    UserApiKeyCreated,
    UserDeleted,
    UserEmailChanged,
    UserPasswordChanged,
    UserSecondFactorChanged,
)
from notifications.kinds.models import KINDS, Category, Channel

LIST = "/api/v1/notifications"


@pytest.fixture
def listed(client, headers):
    """Read the notifications of a user."""

    async def read(user):
        answer = await client.get(LIST, headers=headers(user))
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    return read


def factor(name, change):
    return example(UserSecondFactorChanged, factor=name, change=change)


@pytest.mark.parametrize(
    ("event", "title", "words"),
    [
        (example(UserPasswordChanged), "Password changed", "all other devices were logged out"),
        (example(UserPasswordChanged, method="reset"), "Password changed", "reset by mail"),
        (example(UserPasswordChanged, method="new"), "Password changed", "was changed"),
        (factor("totp", "added"), "Authenticator app added", "app of your account was added"),
        (factor("passkey", "removed"), "Passkey removed", "A passkey of your account was removed"),
        (factor("recovery_codes", "replaced"), "Recovery codes replaced", "codes of your account"),
        (factor("new", "new"), "Second factor changed", "A second factor of your account was"),
        (example(UserApiKeyCreated), "API key created", "valid until 2026-04-15"),
        (example(UserEmailChanged), "E-mail address changed", "was changed"),
    ],
)
async def test_a_security_event_becomes_a_notice_that_says_what_to_do(
    event, title, words, consume, listed
):
    user = new_id()
    assert await consume(event.model_copy(update={"user_id": user})) == (1, None)
    [notice] = await listed(user)
    assert f"{notice['type']}.v1" == event.type
    assert notice["title"] == title
    assert words in notice["body"]
    assert "If it was not you," in notice["body"]
    assert "  " not in notice["body"]
    assert "\n" not in notice["body"]


async def test_a_notice_has_what_the_event_says_and_no_more(consume, listed):
    user = new_id()
    events = [
        example(UserPasswordChanged, user_id=user),
        example(UserSecondFactorChanged, user_id=user),
        created := example(UserApiKeyCreated, user_id=user),
        example(UserEmailChanged, user_id=user),
    ]
    assert await consume(*events) == (4, None)
    assert [notice["data"] for notice in reversed(await listed(user))] == [
        {"method": "change"},
        {"factor": "totp", "change": "added"},
        {
            "api_key_id": str(created.api_key_id),
            "expires_at": created.expires_at.isoformat(),
        },
        {},
    ]


async def test_an_event_that_is_delivered_again_tells_nothing_twice(consume, listed, db):
    user, event_id = new_id(), new_id()
    event = example(UserPasswordChanged, user_id=user)
    await consume(event, event_id=event_id)
    await db.execute("DELETE FROM inbox")
    assert await consume(event, event_id=event_id) == (1, None)
    assert len(await listed(user)) == 1


async def test_a_deleted_account_is_told_nothing(consume, listed):
    user = new_id()
    await consume(example(UserDeleted, user_id=user))
    await consume(example(UserPasswordChanged, user_id=user), partition=1)
    assert await listed(user) == []


@pytest.mark.parametrize("event", [UserPasswordChanged, UserSecondFactorChanged, UserApiKeyCreated])
def test_a_change_of_credentials_is_told_in_the_app_and_by_mail(event):
    """No webhook: an intruder may have added it."""
    [kind] = [kind for kind in KINDS.values() if kind.event == event.type]
    assert kind.category is Category.SECURITY
    assert kind.channels == {Channel.IN_APP, Channel.EMAIL}
