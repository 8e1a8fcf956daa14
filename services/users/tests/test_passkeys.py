"""Passkeys: who can add, rename and remove them (WebAuthn level 3)."""

import asyncio
from dataclasses import replace

import pytest
from pydantic import ValidationError

from chassis.auth import ApiKeyGrant
from chassis.database import new_id
from testkit.authenticator import base64url
from users.passkeys.jobs import prune_passkey_challenges
from users.passkeys.models import MAX_PASSKEYS
from users.settings import UsersSettings

from .conftest import logged_in, status_and_kind

PASSKEYS = "/api/v1/auth/passkeys"
ORIGIN = "http://localhost:8000"


async def test_the_options_ask_for_what_is_verified(creation_options, request_options, enrolled):
    passkey, _ = await enrolled()
    creation = await creation_options()
    assert creation["rp"]["id"] == "localhost"
    assert creation["authenticatorSelection"]["userVerification"] == "required"
    assert creation["authenticatorSelection"]["residentKey"] == "required"
    assert creation["attestation"] == "none"
    [known] = creation["excludeCredentials"]
    assert known["id"] == base64url(passkey.credential_id)
    assert known["transports"] == ["internal", "hybrid"]
    request = await request_options()
    assert (request["rpId"], request["userVerification"]) == ("localhost", "required")
    assert request["allowCredentials"] == []  # they would tell who has an account
    assert len(request["challenge"]) == 43  # 256 bits in base64url


async def test_an_account_has_several_which_can_be_renamed_and_removed(
    client, browser, enrolled, bearer, request_options, log_in_with, db
):
    first, shown = await enrolled()
    second, _ = await enrolled()
    path = f"{PASSKEYS}/{shown['id']}"
    patch = {**bearer, "Content-Type": "application/merge-patch+json"}

    renamed = await client.patch(path, json={"name": "Old phone"}, headers=patch)
    assert renamed.json()["name"] == "Old phone"
    unchanged = await client.patch(path, json={}, headers=patch)
    assert unchanged.json()["name"] == "Old phone"
    listed = (await client.get(PASSKEYS, headers=bearer)).json()
    assert [item["name"] for item in listed["items"]] == ["Old phone", "Laptop"]
    assert listed["next_cursor"] is None

    assert (await client.delete(path, headers=bearer)).status_code == 204
    assert status_and_kind(await client.delete(path, headers=bearer)) == (404, "passkey-not-found")
    refused = await log_in_with(browser.get(await request_options(), first))
    assert status_and_kind(refused) == (401, "invalid-passkey")
    assert (await log_in_with(browser.get(await request_options(), second))).status_code == 200
    actions = await db.fetch(
        "SELECT action, details FROM audit_log WHERE action <> 'session.opened' ORDER BY id"
    )
    assert [row["action"] for row in actions] == ["passkey.added"] * 2 + ["passkey.removed"]
    assert shown["id"] in actions[2]["details"]


async def test_nobody_reaches_the_passkeys_of_another(client, enrolled, register, log_in):
    _, shown = await enrolled()
    await register("eve@example.com")
    token = (await log_in("eve@example.com"))["access_token"]
    eve = {"Authorization": f"Bearer {token}"}
    path = f"{PASSKEYS}/{shown['id']}"
    assert (await client.get(PASSKEYS, headers=eve)).json()["items"] == []
    assert (await client.delete(path, headers=eve)).status_code == 404
    patch = {**eve, "Content-Type": "application/merge-patch+json"}
    assert (await client.patch(path, json={"name": "Mine"}, headers=patch)).status_code == 404


WRONG_PAGES = {
    "without user verification": {"verified": False},
    "of another origin": {"origin": "http://localhost:8001"},
    "of an origin that only begins like ours": {"origin": f"{ORIGIN}.evil.example"},
    "in a frame of another origin": {"cross_origin": True},
}


@pytest.mark.parametrize("change", WRONG_PAGES.values(), ids=WRONG_PAGES)
async def test_no_passkey_is_added_by_a_page(browser, creation_options, add_passkey, change, db):
    credential = replace(browser, **change).create(await creation_options())
    assert status_and_kind(await add_passkey(credential)) == (422, "passkey-refused")
    assert await db.fetchval("SELECT count(*) FROM passkeys") == 0


async def test_a_passkey_of_another_domain_is_refused(
    browser, creation_options, add_passkey, enrolled, request_options, log_in_with
):
    credential = browser.create(await creation_options(), rp_id="evil.example")
    assert status_and_kind(await add_passkey(credential)) == (422, "passkey-refused")
    passkey, _ = await enrolled()
    other = replace(passkey, rp_id="evil.example")
    answer = await log_in_with(browser.get(await request_options(), other))
    assert status_and_kind(answer) == (401, "invalid-passkey")


async def test_a_challenge_is_used_up_by_an_addition_that_is_refused(
    browser, creation_options, add_passkey
):
    options = await creation_options()
    assert (await add_passkey(replace(browser, verified=False).create(options))).status_code == 422
    assert (await add_passkey(browser.create(options))).status_code == 422


async def test_a_challenge_is_good_only_for_what_it_was_made_for(
    browser,
    enrolled,
    creation_options,
    request_options,
    add_passkey,
    log_in_with,
    register,
    log_in,
):
    passkey, _ = await enrolled()
    creation, request = await creation_options(), await request_options()
    swapped = {**creation, "challenge": request["challenge"]}
    assert (await add_passkey(browser.create(swapped))).status_code == 422
    swapped = {**request, "challenge": creation["challenge"]}
    assert (await log_in_with(browser.get(swapped, passkey))).status_code == 401
    await register("eve@example.com")
    eve = {"Authorization": f"Bearer {(await log_in('eve@example.com'))['access_token']}"}
    mine = await creation_options()
    assert (await add_passkey(browser.create(mine), headers=eve)).status_code == 422


async def test_challenges_expire_and_are_deleted(
    browser,
    enrolled,
    creation_options,
    request_options,
    add_passkey,
    log_in_with,
    db,
    resources,
):
    passkey, _ = await enrolled()
    creation, request = await creation_options(), await request_options()
    await db.execute("UPDATE passkey_challenges SET expires_at = now() - interval '1 second'")
    fresh = await request_options()
    assert (await add_passkey(browser.create(creation))).status_code == 422
    assert (await log_in_with(browser.get(request, passkey))).status_code == 401
    async with resources.database.transaction() as unit:
        assert await prune_passkey_challenges(unit, 10) == 2
    assert (await log_in_with(browser.get(fresh, passkey))).status_code == 200


async def test_a_credential_is_registered_once(browser, enrolled, creation_options, add_passkey):
    passkey, _ = await enrolled()
    again = browser.create(await creation_options(), credential_id=passkey.credential_id)
    assert status_and_kind(await add_passkey(again)) == (409, "passkey-exists")


async def test_an_account_cannot_have_more_than_the_limit(
    client, browser, creation_options, add_passkey, bearer, db
):
    last, too_many = await creation_options(), await creation_options()
    await db.execute(
        "INSERT INTO passkeys (id, user_id, credential_id, public_key, sign_count,"
        " backup_eligible, backed_up, transports, name)"
        " SELECT gen_random_uuid(), u.id, int4send(n), '', 0, true, true, '{}', 'x'"
        " FROM users u, generate_series(1, $1::int) n",
        MAX_PASSKEYS - 1,
    )
    answers = await asyncio.gather(*(add_passkey(browser.create(one)) for one in (last, too_many)))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    answer = await client.post(f"{PASSKEYS}/registration-options", headers=bearer)
    assert status_and_kind(answer) == (409, "too-many-passkeys")


async def test_a_token_of_an_old_log_in_cannot_change_them(
    client, browser, creation_options, add_passkey, enrolled, signed
):
    _, shown = await enrolled()
    old = await signed(logged_in(6))
    answer = await client.post(f"{PASSKEYS}/registration-options", headers=old)
    assert status_and_kind(answer) == (401, "reauthentication-needed")
    assert answer.json()["max_age"] == 300
    answer = await client.delete(f"{PASSKEYS}/{shown['id']}", headers=old)
    assert status_and_kind(answer) == (401, "reauthentication-needed")
    credential = browser.create(await creation_options())
    answer = await add_passkey(credential, headers=await signed(logged_in(11)))
    assert status_and_kind(answer) == (401, "reauthentication-needed")
    credential = browser.create(await creation_options())
    assert (await add_passkey(credential, headers=await signed(logged_in(9)))).status_code == 201


async def test_an_api_key_cannot_change_them(
    client, browser, creation_options, add_passkey, enrolled, signed
):
    _, shown = await enrolled()
    key = await signed(ApiKeyGrant(api_key_id=new_id()))
    answers = [
        await client.post(f"{PASSKEYS}/registration-options", headers=key),
        await add_passkey(browser.create(await creation_options()), headers=key),
        await client.delete(f"{PASSKEYS}/{shown['id']}", headers=key),
    ]
    assert [status_and_kind(answer) for answer in answers] == [(403, "log-in-required")] * 3


async def test_a_malformed_member_is_pointed_to(browser, creation_options, add_passkey):
    credential = browser.create(await creation_options())
    credential["response"]["attestationObject"] = "not base64!"
    answer = await add_passkey(credential)
    assert status_and_kind(answer) == (422, "validation-failed")
    pointers = [error["pointer"] for error in answer.json()["errors"]]
    assert pointers == ["#/credential/response/attestationObject"]


@pytest.mark.parametrize(
    ("rp_id", "origins", "good"),
    [
        ("localhost", "http://localhost:8000", True),
        ("example.com", "https://example.com,https://shop.example.com", True),
        ("example.com", "https://badexample.com", False),
        ("shop.example.com", "https://example.com", False),
        ("example.com", "http://example.com", False),
        ("example.com", "https://example.com/", False),
        ("127.0.0.1", "https://127.0.0.1:8000", False),
    ],
)
def test_origins_must_be_of_the_domain_and_secure(settings, rp_id, origins, good):
    given = {
        **settings.model_dump(),
        "passkey_rp_id": rp_id,
        "passkey_origins": origins,
    }
    if good:
        party = UsersSettings.model_validate(given).relying_party
        assert party.origins == tuple(origins.split(","))
        return
    with pytest.raises(ValidationError, match=r"(?i)passkey"):
        UsersSettings.model_validate(given)
