"""Log-ins with passkeys: which are accepted, and what they are worth (WebAuthn level 3)."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.database import new_id
from testkit.authenticator import Browser, SoftwarePasskey, base64url, cbor
from users.passkeys.models import Passkey, RefusedCredentialError, RelyingParty

from .conftest import status_and_kind
from .test_passkeys import PASSKEYS, WRONG_PAGES

ORIGIN = "http://localhost:8000"
PARTY = RelyingParty(rp_id="localhost", origins=(ORIGIN,), name="slipway")


@pytest.mark.parametrize("synced", [True, False])
async def test_a_passkey_logs_in_without_a_password(
    client,
    browser,
    enrolled,
    request_options,
    log_in_with,
    api_resources,
    bearer,
    synced,
):
    passkey, shown = await enrolled(synced=synced)
    assert (shown["name"], shown["last_used_at"]) == ("Laptop", None)
    assert shown["backed_up"] is synced

    answer = await log_in_with(browser.get(await request_options(), passkey))

    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()["access_token"]
    principal = api_resources.verifier.verify(token)
    assert principal.methods == {"swk" if synced else "hwk", "user", "mfa"}  # RFC 8176
    me = await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json()["email"] == "ada@example.com"
    [listed] = (await client.get(PASSKEYS, headers=bearer)).json()["items"]
    assert listed["last_used_at"] is not None


async def test_it_needs_no_code_where_totp_is_on(
    browser, enrolled, request_options, log_in_with, db
):
    passkey, _ = await enrolled()
    await db.execute(
        "INSERT INTO totp (user_id, secret, recovery_codes) SELECT id, '', '{}' FROM users"
    )
    answer = await log_in_with(browser.get(await request_options(), passkey))
    assert answer.status_code == 200


@pytest.mark.parametrize("change", WRONG_PAGES.values(), ids=WRONG_PAGES)
async def test_nobody_is_logged_in_by_a_page(
    browser, enrolled, request_options, log_in_with, change
):
    passkey, _ = await enrolled()
    credential = replace(browser, **change).get(await request_options(), passkey)
    assert status_and_kind(await log_in_with(credential)) == (401, "invalid-passkey")


FORGERIES = {
    "another key": lambda passkey: replace(
        passkey, key=SoftwarePasskey(rp_id="", user_handle=b"").key
    ),
    "another account": lambda passkey: replace(passkey, user_handle=new_id().bytes),
    "an unknown credential": lambda passkey: replace(passkey, credential_id=b"unknown"),
    "another backup eligibility": lambda passkey: replace(passkey, synced=not passkey.synced),
}


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES)
async def test_a_forged_log_in_is_refused(
    browser, enrolled, request_options, log_in_with, forged, db
):
    passkey, _ = await enrolled()
    sessions = await db.fetchval("SELECT count(*) FROM sessions")
    answer = await log_in_with(browser.get(await request_options(), forged(passkey)))
    assert status_and_kind(answer) == (401, "invalid-passkey")
    assert await db.fetchval("SELECT count(*) FROM sessions") == sessions


async def test_a_log_in_without_a_user_handle_is_refused(
    browser, enrolled, request_options, log_in_with
):
    passkey, _ = await enrolled()
    credential = browser.get(await request_options(), passkey)
    del credential["response"]["userHandle"]
    assert status_and_kind(await log_in_with(credential)) == (401, "invalid-passkey")


async def test_a_counter_that_does_not_rise_shows_a_copied_key(
    browser, enrolled, request_options, log_in_with
):
    passkey, _ = await enrolled(counts=True, synced=False)
    copy = replace(passkey)
    assert (await log_in_with(browser.get(await request_options(), passkey))).status_code == 200
    answer = await log_in_with(browser.get(await request_options(), copy))
    assert status_and_kind(answer) == (401, "invalid-passkey")


async def test_an_account_that_is_not_active_gets_the_response_of_an_unknown_passkey(
    browser, enrolled, request_options, log_in_with, db
):
    passkey, _ = await enrolled()
    await db.execute("UPDATE users SET is_active = false")
    unknown = replace(passkey, credential_id=b"unknown")
    answers = [
        await log_in_with(browser.get(await request_options(), one)) for one in (passkey, unknown)
    ]
    same = [{**answer.json(), "request_id": ""} for answer in answers]
    assert same[0] == same[1]
    assert answers[0].status_code == 401


async def test_of_parallel_log_ins_with_one_challenge_one_succeeds(
    browser, enrolled, request_options, log_in_with
):
    passkey, _ = await enrolled()
    credential = browser.get(await request_options(), passkey)
    answers = await asyncio.gather(*(log_in_with(credential) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_a_challenge_is_used_up_by_a_log_in_that_is_refused(
    browser, enrolled, request_options, log_in_with
):
    passkey, _ = await enrolled()
    options = await request_options()
    refused = await log_in_with(replace(browser, verified=False).get(options, passkey))
    assert refused.status_code == 401
    assert (await log_in_with(browser.get(options, passkey))).status_code == 401


MEMBERS = st.sampled_from(["clientDataJSON", "attestationObject", "authenticatorData", "signature"])
NOISE = st.one_of(
    st.binary(max_size=200),
    st.builds(cbor, st.dictionaries(st.text(max_size=8), st.binary(max_size=40), max_size=4)),
    st.sampled_from(
        [b"null", b"[]", b'{"type":1,"challenge":2,"origin":3}', b"\xff", b"\x9f" * 99]
    ),
)


@given(member=MEMBERS, noise=NOISE)
def test_no_noise_is_accepted_or_raises_another_error(member, noise):
    browser = Browser(origin=ORIGIN)
    challenge = b"c" * 32
    options = PARTY.registration_options(
        challenge=challenge,
        user_id=new_id(),
        email="a@example.com",
        full_name="A",
        known=[],
    )
    credential = browser.create(options)
    assertion = browser.get(PARTY.log_in_options(challenge=challenge), browser.passkeys[0])
    for good, verify in ((credential, verify_new), (assertion, verify_old)):
        if member not in good["response"]:
            continue
        response = {**good["response"], member: base64url(noise)}
        with pytest.raises(RefusedCredentialError):
            verify({**good, "response": response}, challenge, browser.passkeys[0])
        verify(good, challenge, browser.passkeys[0])


def verify_new(credential, challenge, _):
    return PARTY.verify_registration(credential, challenge=challenge)


def verify_old(credential, challenge, passkey):
    stored = Passkey(public_key=passkey.public_key(), sign_count=0, backup_eligible=True)
    return PARTY.verify_log_in(credential, challenge=challenge, passkey=stored)
