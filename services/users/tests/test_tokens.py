"""Refresh tokens: rotation, reuse, races, and the responses of RFC 6749; the published keys."""

import asyncio
import hashlib
import json

import pytest

from chassis.auth import TokenVerifier
from chassis.auth.keys import PublicKeys, read_key_set
from testkit.tokens import AUDIENCE, ISSUER

TOKEN = "/api/v1/auth/token"
FORM = "application/x-www-form-urlencoded"


def assert_refused(answer, error="invalid_grant"):
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == {"error", "error_description"}
    assert answer.json()["error"] == error


async def test_a_refresh_token_gives_its_successor(client, refresh, first, db):
    answer = await refresh(first)

    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert body.keys() == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert body["refresh_token"] != first
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 200
    assert (await refresh(body["refresh_token"])).status_code == 200
    assert await db.fetchval("SELECT count(*) FROM sessions") == 1
    assert await db.fetchval("SELECT count(*) FROM refresh_tokens") == 3


async def test_only_hashes_are_stored(first, db):
    stored = await db.fetchrow("SELECT * FROM refresh_tokens")

    assert stored["token_hash"] == hashlib.sha256(first.encode()).digest()
    assert first not in str(dict(stored))


async def test_a_used_token_whose_successor_was_used_ends_its_session_for_good(
    refresh, first, log_in, db
):
    other = (await log_in())["refresh_token"]
    second = (await refresh(first)).json()["refresh_token"]
    third = (await refresh(second)).json()["refresh_token"]

    for token in (first, second, third):
        assert_refused(await refresh(token))

    assert (await refresh(other)).status_code == 200
    rows = await db.fetch("SELECT revoked_at FROM sessions ORDER BY id")
    assert [row["revoked_at"] is not None for row in rows] == [True, False]
    revoked_at = rows[0]["revoked_at"]
    assert_refused(await refresh(first))
    assert await db.fetchval("SELECT min(revoked_at) FROM sessions") == revoked_at
    assert await db.fetchval("SELECT count(*) FROM refresh_tokens") == 5


async def test_a_session_that_ends_is_announced_once(refresh, first, events, db):
    second = (await refresh(first)).json()["refresh_token"]
    await refresh(second)
    await refresh(first)
    await refresh(first)

    (announced,) = [event for event in await events() if event[0] == "session.revoked.v1"]
    session = await db.fetchrow("SELECT * FROM sessions")
    assert announced[2]["sids"] == [str(session["id"])]
    assert announced[2]["user_id"] == str(session["user_id"])


async def test_an_expired_token_is_refused(refresh, first, db):
    await db.execute("UPDATE refresh_tokens SET expires_at = now()")

    assert_refused(await refresh(first))
    assert await db.fetchval("SELECT revoked_at IS NULL FROM sessions")


async def test_an_inactive_account_gets_no_tokens(refresh, first, db):
    await db.execute("UPDATE users SET is_active = false")

    assert_refused(await refresh(first))
    assert await db.fetchval("SELECT used_at IS NULL FROM refresh_tokens")


async def test_a_refresh_takes_the_roles_of_the_day(refresh, first, db):
    await db.execute("UPDATE users SET roles = ARRAY['support']")

    assert "orders:fulfil" in (await refresh(first)).json()["scope"].split()


@pytest.mark.parametrize("token", ["x", "x" * 512, "ä", "\0", "' OR 1=1 --"])
async def test_an_unknown_token_is_refused(refresh, token):
    assert_refused(await refresh(token))


@pytest.mark.parametrize(
    ("content", "content_type", "error"),
    [
        ("", FORM, "invalid_request"),
        ("grant_type=", FORM, "invalid_request"),
        ("refresh_token=x", FORM, "invalid_request"),
        ("grant_type=refresh_token", FORM, "invalid_request"),
        ("grant_type=refresh_token&refresh_token=", FORM, "invalid_request"),
        ("grant_type=refresh_token&refresh_token=" + "x" * 513, FORM, "invalid_request"),
        ("grant_type=refresh_token&refresh_token=x&refresh_token=x", FORM, "invalid_request"),
        ("grant_type=refresh_token&refresh_token=x&a=1&a=1", FORM, "invalid_request"),
        ("&".join(f"a{n}=1" for n in range(101)), FORM, "invalid_request"),
        (b"grant_type=\xff", FORM, "invalid_request"),
        ("grant_type=%ff", FORM, "invalid_request"),
        ("grant_type=password&username=a&password=b", FORM, "unsupported_grant_type"),
        ('{"grant_type": "refresh_token"}', "application/json", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=x", "", "invalid_request"),
    ],
)
async def test_a_wrong_form_gets_the_error_that_rfc_6749_requires(
    client, content, content_type, error
):
    headers = {"Content-Type": content_type} if content_type else {}

    assert_refused(await client.post(TOKEN, content=content, headers=headers), error)


async def test_further_parameters_are_ignored(client, first):
    data = {"grant_type": "refresh_token", "refresh_token": first, "client_id": "web"}

    answer = await client.post(TOKEN, data=data, headers={"Content-Type": f"{FORM};charset=utf-8"})

    assert answer.status_code == 200


async def test_the_published_keys_verify_access_tokens(client, register, log_in, tmp_path):
    user = await register()
    token = (await log_in())["access_token"]

    answer = await client.get("/.well-known/jwks.json")

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=300"
    file = tmp_path / "jwks.json"
    file.write_text(answer.text, encoding="utf-8")
    keys = await asyncio.to_thread(PublicKeys, file)
    principal = TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE).verify(token)
    assert str(principal.user_id) == user["id"]


async def test_no_private_part_is_published(client, tokens):
    published = (await client.get("/.well-known/jwks.json")).json()["keys"]

    own = await asyncio.to_thread(read_key_set, tokens.signing_keys_file)
    assert [key["kid"] for key in published] == list(own)
    assert set(published[0]) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    private = json.loads(await asyncio.to_thread(tokens.signing_keys_file.read_text))
    assert private["keys"][0]["d"] not in json.dumps(published)
