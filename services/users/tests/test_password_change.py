"""A user changes the password: the current one is needed, and all other sessions end."""

import json
from functools import partial
from uuid import UUID

import pytest

from chassis.actor import Actor, ActorKind
from chassis.auth.passwords import Passwords, PasswordsBusy
from testkit.tokens import TestTokens
from users.passwords.service import PasswordChange
from users.passwords.wiring import password_transaction
from users.settings import UsersSettings

from .conftest import PASSWORD, bearer_of
from .test_accounts import ME, USERS, sid_of

PATH = f"{ME}/password"
LOGIN = "/api/v1/auth/login"
NEW = "a quite different phrase"
OTHER = "yet another long phrase"


@pytest.fixture
def settings(settings: UsersSettings) -> UsersSettings:
    return settings.model_copy(update={"login_failures_per_address": 3, "login_failures": 5})


@pytest.fixture
def change(client):
    """Change the password as `tokens` says."""

    async def put(tokens, *, current=PASSWORD, new=NEW, headers=None):
        body = {"current_password": current, "new_password": new}
        sent = {**bearer_of(tokens), **(headers or {})}
        return await client.put(PATH, json=body, headers=sent)

    return put


async def test_the_new_password_logs_in_and_the_old_one_no_longer(
    client, register, log_in, change, log_in_status, events
):
    await register()
    tokens = await log_in()

    answer = await change(tokens)

    assert (answer.status_code, answer.content) == (204, b"")
    assert await log_in_status(PASSWORD) == 401
    assert await log_in_status(NEW) == 200
    me = (await client.get(ME, headers=bearer_of(tokens))).json()
    assert me["version"] == 2
    assert [kind for kind, *_ in await events()] == [
        "user.registered.v1",
        "user.password_changed.v1",
    ]


async def test_all_sessions_end_but_the_one_that_changed_it(
    register, log_in, change, refresh, events
):
    await register()
    await register("grace@example.com")
    mine, second, third = [await log_in() for _ in range(3)]
    stranger = await log_in("grace@example.com")

    await change(mine)

    *_, changed, ended = await events()
    assert changed[0] == "user.password_changed.v1"
    assert ended[:2] == ("session.revoked.v1", None)
    assert sorted(ended[2]["sids"]) == sorted([sid_of(second), sid_of(third)])
    statuses = [
        (await refresh(tokens["refresh_token"])).status_code
        for tokens in (mine, second, third, stranger)
    ]
    assert statuses == [200, 400, 400, 200]


async def test_an_api_key_has_no_session_that_stays(register, log_in, resources, events):
    user_id = UUID((await register())["id"])
    tokens = await log_in()
    key = Actor(kind=ActorKind.API_KEY, user_id=user_id, api_key_id=user_id)
    await change_of(resources, resources.passwords).run(
        user_id, current=PASSWORD, new=NEW, address="192.0.2.1", by=key
    )
    assert (await events())[-1][2]["sids"] == [sid_of(tokens)]


async def test_the_change_is_on_record_without_the_passwords(register, log_in, change, db):
    user = await register()
    tokens = await log_in()
    await change(tokens, current="wrong horse battery")
    await change(tokens, headers={"X-Real-IP": "192.0.2.7"})

    entries = await db.fetch("SELECT * FROM audit_log")
    assert "horse" not in str(entries)
    [entry] = [entry for entry in entries if entry["action"] == "user.password_changed"]
    assert entry["subject"] == f"user:{user['id']}"
    assert (str(entry["actor_id"]), str(entry["session_id"])) == (user["id"], sid_of(tokens))
    assert (json.loads(entry["details"]), entry["address"]) == ({}, "192.0.2.7")


async def test_a_wrong_password_changes_nothing(
    register, log_in, change, log_in_status, refresh, db
):
    await register()
    tokens, other = await log_in(), await log_in()
    before = await db.fetchval("SELECT password_hash FROM users")

    answer = await change(tokens, current=NEW)

    assert answer.status_code == 403
    assert answer.json()["type"].endswith("/wrong-password")
    assert "www-authenticate" not in answer.headers
    assert NEW not in answer.text
    assert await db.fetchval("SELECT password_hash FROM users") == before
    assert await log_in_status(PASSWORD) == 200
    assert (await refresh(other["refresh_token"])).status_code == 200


async def test_guesses_are_counted_together_with_the_log_ins_that_fail(
    register, log_in, change, log_in_status
):
    await register()
    tokens = await log_in()
    assert await log_in_status("wrong horse battery") == 401
    guesses = [(await change(tokens, current="wrong horse battery")) for _ in range(3)]
    assert [answer.status_code for answer in guesses] == [403, 403, 429]
    assert guesses[-1].json()["type"].endswith("/too-many-failed-log-ins")
    assert int(guesses[-1].headers["retry-after"]) >= 1
    right = await change(tokens)
    assert right.status_code == 429, "the password is not looked at"
    assert await log_in_status(PASSWORD) == 429


async def test_a_change_that_succeeds_forgives_the_wrong_ones(register, log_in, change):
    await register()
    tokens = await log_in()
    for _ in range(2):
        await change(tokens, current="wrong horse battery")
    assert (await change(tokens)).status_code == 204
    guesses = [await change(tokens, current="wrong horse battery") for _ in range(4)]
    assert [answer.status_code for answer in guesses] == [403, 403, 403, 429]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"new_password": "eleven char"}, "#/new_password"),
        ({"new_password": "x" * 129}, "#/new_password"),
        ({"new_password": "password1234"}, "#/new_password"),
        ({"new_password": None}, "#/new_password"),
        ({"current_password": ""}, "#/current_password"),
        ({"password": NEW}, "#/password"),
    ],
)
async def test_a_wrong_field_is_pointed_to(client, bearer, fields, pointer):
    body = {"current_password": PASSWORD, "new_password": NEW, **fields}
    answer = await client.put(PATH, json=body, headers=bearer)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert NEW not in answer.text


async def test_both_passwords_are_accepted_in_every_spelling(
    register, log_in, change, log_in_status
):
    await register(password="Schlüssel-Über-Café")
    tokens = await log_in(password="Schlüssel-Über-Café")
    answer = await change(
        tokens,
        current="Schlu\u0308ssel-U\u0308ber-Cafe\u0301",
        new="\uff37ide and o\ufb03cial",
    )
    assert answer.status_code == 204
    assert await log_in_status("Wide and official") == 200


async def test_an_account_that_does_not_exist_is_404(client, tokens: TestTokens):
    body = {"current_password": PASSWORD, "new_password": NEW}
    answer = await client.put(PATH, json=body, headers=tokens.headers(scopes=["profile"]))
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("/user-not-found")


async def test_the_scope_is_needed(client, tokens: TestTokens):
    body = {"current_password": PASSWORD, "new_password": NEW}
    answer = await client.put(PATH, json=body, headers=tokens.headers(scopes=["users:write"]))
    assert answer.status_code == 403
    assert (await client.put(PATH, json=body)).status_code == 401


async def test_between_the_verification_and_the_new_hash_another_change_is_committed(
    register, log_in, change, log_in_status, held_accounts
):
    """Both verified the old password. Only one of them may replace it."""
    await register()
    one, other = await log_in(), await log_in()

    answers = await held_accounts(change(one, new=NEW), change(other, new=OTHER))

    assert [answer.status_code for answer in answers] == [204, 403]
    assert answers[1].json()["type"].endswith("/wrong-password")
    assert await log_in_status(NEW) == 200
    assert await log_in_status(OTHER) == 401


async def test_between_the_verification_of_a_log_in_and_its_session_the_password_changes(
    register, log_in, change, log_in_status, held_accounts, db
):
    """The log-in verified the old password, and must not open a session with it."""
    await register()
    tokens = await log_in()

    changed, logged_in = await held_accounts(change(tokens), log_in_status(PASSWORD))

    assert (changed.status_code, logged_in) == (204, 401)
    assert await db.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 1


async def test_between_the_change_and_its_commit_a_log_in_with_the_old_password_opens_a_session(
    register, log_in, change, log_in_status, held_accounts, db
):
    """The session of the log-in that was first must end, too."""
    await register()
    tokens = await log_in()

    logged_in, changed = await held_accounts(log_in_status(PASSWORD), change(tokens))

    assert (logged_in, changed.status_code) == (200, 204)
    assert await db.fetchval("SELECT id::text FROM sessions WHERE revoked_at IS NULL") == sid_of(
        tokens
    )


@pytest.mark.parametrize("patch", [{"is_active": False}, {"roles": ["support"]}])
async def test_between_the_verification_and_the_new_hash_an_administrator_changes_the_account(
    client, register, log_in, change, held_accounts, tokens, db, patch
):
    """Both end the session of the request, and an ended session changes no password."""
    user = await register()
    mine = await log_in()
    writer = tokens.headers(scopes=["users:write"])
    before = await db.fetchval("SELECT password_hash FROM users")

    _, changed = await held_accounts(
        client.patch(f"{USERS}/{user['id']}", json=patch, headers=writer), change(mine)
    )

    assert changed.status_code == 401
    assert await db.fetchval("SELECT password_hash FROM users") == before


async def test_between_the_verification_and_the_new_hash_the_account_is_deleted(
    client, register, log_in, change, held_accounts, db
):
    await register()
    tokens = await log_in()

    deleted, changed = await held_accounts(
        client.delete(ME, headers=bearer_of(tokens)), change(tokens)
    )

    assert (deleted.status_code, changed.status_code) == (204, 404)
    assert await db.fetchval("SELECT count(*) FROM users") == 0


def change_of(resources, passwords):
    return PasswordChange(transaction=partial(password_transaction, resources), passwords=passwords)


class BusyAfter(Passwords):
    """Has turns for this many verifications, and then none."""

    def __init__(self, verifications):
        super().__init__(threads=1, seconds=0.01)
        self.left = verifications

    async def verify(self, password, stored):
        good = await super().verify(password, stored)
        self.left -= 1
        if not self.left:
            await self.queue.take_turn()
        return good


@pytest.mark.parametrize("verifications", [0, 1])
async def test_a_change_for_which_no_turn_comes_does_not_count_as_a_guess(
    register, log_in, change, resources, verifications
):
    user_id = UUID((await register())["id"])
    tokens = await log_in()
    me = Actor(kind=ActorKind.USER, user_id=user_id)
    for _ in range(10):
        with BusyAfter(verifications) as passwords:
            if not verifications:
                await passwords.queue.take_turn()
            with pytest.raises(PasswordsBusy):
                await change_of(resources, passwords).run(
                    user_id, current=PASSWORD, new=NEW, address="127.0.0.1", by=me
                )
    guesses = [await change(tokens, current="wrong horse battery") for _ in range(4)]
    assert [answer.status_code for answer in guesses] == [403, 403, 403, 429]
