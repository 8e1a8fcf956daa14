"""Change of one's own address: it takes effect only when the new address is confirmed."""

import json
from uuid import UUID

import pytest

from chassis.auth import ApiKeyGrant
from chassis.database import new_id

from .conftest import assert_invalid_token, bearer_of
from .test_sessions import claims_of

RESET = "/api/v1/password-resets"
ME = "/api/v1/users/me"
LOGIN = "/api/v1/auth/login"
MERGE = {"Content-Type": "application/merge-patch+json"}
NEW = "lovelace@example.org"


@pytest.fixture
def change(client, bearer):
    """Ask for another address."""

    async def patch(email=NEW, **more):
        headers = {**bearer, **MERGE, **more.pop("headers", {})}
        return await client.patch(ME, json={"email": email, **more}, headers=headers)

    return patch


@pytest.fixture
def change_mail(change, mailed):
    """Ask for another address, and return the request for the mail to it."""

    async def ask(email=NEW):
        answer = await change(email)
        assert answer.status_code == 200, answer.text
        return await mail_to(email, mailed)

    return ask


def sid_of(bearer):
    """Return the session of a header's access token."""
    token = bearer["Authorization"].removeprefix("Bearer ")
    return claims_of({"access_token": token})["sid"]


async def mail_to(email, mailed):
    """Return the last request for a mail to this address."""
    return [mail for mail in await mailed() if mail["email"] == email][-1]


@pytest.fixture
async def signed_for_api_key(client, bearer, resources):
    """The Authorization header of an API key of the user, whose token was issued just now."""
    user = (await client.get(ME, headers=bearer)).json()
    token = resources.signer.sign(
        subject=UUID(user["id"]),
        grant=ApiKeyGrant(api_key_id=new_id()),
        roles=["customer"],
        scopes=["profile"],
    )
    return {"Authorization": f"Bearer {token}"}


async def test_an_address_changes_when_the_new_one_is_confirmed(
    change, mailed, confirm_email, client, bearer, events, db
):
    before = (await client.get(ME, headers=bearer)).json()
    answer = await change("Lovelace@Example.org")
    assert answer.status_code == 200
    assert answer.json() == before, "nothing has changed yet"
    mail = await mail_to("Lovelace@Example.org", mailed)
    assert mail["type"] == "email_verification.requested.v1"
    assert (mail["user_id"], mail["email"]) == (before["id"], "Lovelace@Example.org")
    assert (await client.get(ME, headers=bearer)).json() == before

    assert (await confirm_email(mail["token"])).status_code == 204

    after = (await client.get(ME, headers=bearer)).json()
    assert (after["email"], after["email_verified"]) == ("Lovelace@Example.org", True)
    assert after["version"] == 2
    *_, changed, _notice = await events()
    assert changed == (
        "user.email_changed.v1",
        "00000000000000000002",
        {"version": 2, "user_id": before["id"], "email": "Lovelace@Example.org"},
    )
    assert_invalid_token(await confirm_email(mail["token"]))
    assert await db.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL") == 0


async def test_one_logs_in_with_the_new_address_and_the_old_one_is_free(
    change_mail, confirm_email, register, log_in, client
):
    mail = await change_mail()
    await confirm_email(mail["token"])
    old = {"email": "ada@example.com", "password": "correct horse battery"}
    assert (await client.post(LOGIN, json=old)).status_code == 401
    assert (await log_in(NEW))["access_token"]
    await register("ada@example.com")


async def test_the_spelling_of_an_address_can_be_changed(change_mail, confirm_email, log_in):
    mail = await change_mail("ADA@example.com")
    assert (await confirm_email(mail["token"])).status_code == 204
    assert (await log_in())["access_token"]


async def test_name_and_address_can_be_changed_in_one_request(change, mailed):
    answer = await change(full_name="Augusta King")
    assert (answer.json()["full_name"], answer.json()["email"]) == (
        "Augusta King",
        "ada@example.com",
    )
    assert await mail_to(NEW, mailed)


async def test_a_log_in_that_is_too_long_ago_is_not_enough(change, mailed, log_in, refresh, db):
    first = await log_in()
    await db.execute("UPDATE sessions SET created_at = now() - interval '301 s'")
    tokens = (await refresh(first["refresh_token"])).json()
    old = {"Authorization": f"Bearer {tokens['access_token']}"}

    answer = await change(headers=old)

    assert answer.status_code == 401
    assert answer.json()["type"].endswith("/reauthentication-needed")
    assert answer.json()["max_age"] == 300
    assert 'error="insufficient_user_authentication"' in answer.headers["www-authenticate"]
    assert NEW not in str(await mailed())
    assert (await change(headers={**old}, full_name="x")).status_code == 401, "all or nothing"


async def test_an_api_key_is_not_enough(change, mailed, signed_for_api_key):
    answer = await change(headers=signed_for_api_key)
    assert answer.status_code == 403
    assert answer.json()["type"].endswith("/log-in-required")
    assert NEW not in str(await mailed())


async def test_an_old_version_is_refused_and_no_mail_is_sent(change, mailed):
    answer = await change(headers={"If-Match": '"7"'})
    assert answer.status_code == 412
    assert NEW not in str(await mailed())


@pytest.mark.parametrize("email", [None, "", "nobody", 1])
async def test_an_address_that_is_not_valid_is_pointed_to(change, email):
    answer = await change(email)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/email"]


async def test_a_later_request_ends_the_earlier_one(change_mail, confirm_email):
    """A mistyped address can't be confirmed by whoever owns it."""
    mistyped = await change_mail("lovelacee@example.org")
    right = await change_mail()
    assert_invalid_token(await confirm_email(mistyped["token"]))
    assert (await confirm_email(right["token"])).status_code == 204


async def test_the_present_address_ends_a_change_and_sends_nothing(
    change, change_mail, mailed, confirm_email
):
    mail = await change_mail()
    sent = await mailed()
    assert (await change("ada@example.com")).status_code == 200
    assert await mailed() == sent
    assert_invalid_token(await confirm_email(mail["token"]))


async def test_a_password_reset_ends_a_change_that_an_attacker_began(
    change_mail, mailed, confirm_email, client
):
    began = await change_mail("eve@example.com")
    await client.post(RESET, json={"email": "ada@example.com"})
    token = (await mailed())[-1]["token"]
    body = {"token": token, "new_password": "another horse battery"}
    assert (await client.post(f"{RESET}/confirm", json=body)).status_code == 204
    assert_invalid_token(await confirm_email(began["token"]))


async def test_a_change_ends_the_tokens_that_were_mailed_to_the_old_address(
    change_mail, mailed, confirm_email, client, verify_address, db
):
    await db.execute("UPDATE users SET email_verified = false")
    await client.post(RESET, json={"email": "ada@example.com"})
    verification, reset = await mailed()
    await verify_address("ada@example.com")
    mail = await change_mail()
    await confirm_email(mail["token"])
    assert_invalid_token(await confirm_email(verification["token"]))
    body = {"token": reset["token"], "new_password": "another horse battery"}
    assert_invalid_token(await client.post(f"{RESET}/confirm", json=body))


async def test_asking_for_an_address_that_is_taken_is_like_asking_for_a_free_one(
    change, mailed, register, confirm_email, db
):
    await register("bob@example.com")
    await mailed()
    free, taken = await change(), await change("bob@example.com")
    assert (free.status_code, free.json()) == (taken.status_code, taken.json())
    mail = await mail_to("bob@example.com", mailed)

    answer = await confirm_email(mail["token"])

    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/email-taken")
    assert await db.fetchval("SELECT count(*) FROM users WHERE email = 'bob@example.com'") == 1


async def test_a_change_is_on_record_without_the_addresses(
    change_mail, confirm_email, client, bearer, db
):
    user = (await client.get(ME, headers=bearer)).json()
    mail = await change_mail()
    await confirm_email(mail["token"], **{"X-Real-IP": "198.51.100.7", "X-Request-ID": "confirmed"})
    asked, changed = await db.fetch(
        "SELECT * FROM audit_log WHERE action <> 'session.opened' ORDER BY id"
    )
    assert [one["action"] for one in (asked, changed)] == [
        "user.email_change_requested",
        "user.email_changed",
    ]
    assert {str(one["actor_id"]) for one in (asked, changed)} == {user["id"]}
    assert asked["session_id"] is not None
    assert (changed["address"], changed["request_id"]) == ("198.51.100.7", "confirmed")
    assert {json.dumps(json.loads(one["details"])) for one in (asked, changed)} == {"{}"}


async def test_the_end_of_all_sessions_ends_a_change_that_waits(
    change_mail, confirm_email, client, bearer, db
):
    """Whoever had stolen a session could otherwise still take the account over."""
    mail = await change_mail()
    assert (await client.delete("/api/v1/auth/sessions", headers=bearer)).status_code == 204
    assert_invalid_token(await confirm_email(mail["token"]))
    assert await db.fetchval("SELECT email FROM users") == "ada@example.com"


async def test_the_owner_ends_the_session_that_began_a_change_and_so_the_change(
    change_mail, confirm_email, client, bearer, log_in, db
):
    mail = await change_mail("eve@example.com")
    path = f"/api/v1/auth/sessions/{sid_of(bearer)}"
    assert (await client.delete(path, headers=bearer_of(await log_in()))).status_code == 204
    assert_invalid_token(await confirm_email(mail["token"]))
    assert await db.fetchval("SELECT email FROM users") == "ada@example.com"


async def test_a_refresh_token_that_is_used_again_ends_a_change_that_waits(
    change_mail, confirm_email, log_in, refresh, db
):
    """It may be a thief's, and so may be the change."""
    mail = await change_mail("eve@example.com")
    stolen = (await log_in())["refresh_token"]
    await refresh(stolen)
    await db.execute("UPDATE sessions SET successor_until = now()")
    assert (await refresh(stolen)).status_code == 400
    assert_invalid_token(await confirm_email(mail["token"]))


async def test_a_refresh_token_that_is_used_again_after_the_log_out_ends_a_change_that_waits(
    client, change_mail, confirm_email, log_in, refresh, db
):
    """A thief could otherwise log out, so that the owner's copy of the token shows nothing."""
    mail = await change_mail("eve@example.com")
    stolen = (await log_in())["refresh_token"]
    newest = (await refresh(stolen)).json()["refresh_token"]
    assert (await client.post("/api/v1/auth/revoke", data={"token": newest})).status_code == 200
    for _ in range(2):
        assert (await refresh(stolen)).status_code == 400
    assert_invalid_token(await confirm_email(mail["token"]))
    on_record = "SELECT count(*) FROM audit_log WHERE action = 'session.reuse_detected'"
    assert await db.fetchval(on_record) == 1


async def test_the_newest_refresh_token_after_the_log_out_ends_no_change(
    client, change_mail, confirm_email, log_in, refresh
):
    """Another tab of the same browser may present it."""
    mail = await change_mail()
    newest = (await log_in())["refresh_token"]
    assert (await client.post("/api/v1/auth/revoke", data={"token": newest})).status_code == 200
    assert (await refresh(newest)).status_code == 400
    assert (await confirm_email(mail["token"])).status_code == 204


@pytest.mark.parametrize("path", ["/api/v1/auth/sessions/{sid}", "/api/v1/auth/revoke"])
async def test_who_logs_out_before_the_mail_arrives_can_still_confirm(
    change_mail, confirm_email, client, bearer, path
):
    mail = await change_mail()
    if path.endswith("revoke"):
        token = bearer["Authorization"].removeprefix("Bearer ")
        assert (await client.post(path, data={"token": token})).status_code == 200
    else:
        path = path.format(sid=sid_of(bearer))
        assert (await client.delete(path, headers=bearer)).status_code == 204
    assert (await confirm_email(mail["token"])).status_code == 204


async def test_a_deactivation_ends_a_change_that_waits(
    change_mail, confirm_email, client, tokens, db
):
    """It does not come back with the account."""
    mail = await change_mail()
    path = f"/api/v1/users/{mail['user_id']}"
    for is_active in (False, True):
        answer = await client.patch(
            path, json={"is_active": is_active}, headers=tokens.headers(scopes=["users:write"])
        )
        assert answer.status_code == 200, answer.text
    assert_invalid_token(await confirm_email(mail["token"]))
    assert await db.fetchval("SELECT email FROM users") == "ada@example.com"
