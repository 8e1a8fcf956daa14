"""Log-out by RFC 7009: either token ends the session, and a token that is not valid is no error."""

import asyncio
from datetime import timedelta

import pytest

from chassis.auth import ApiKeyGrant, TokenSigner
from chassis.auth.keys import read_key_set
from chassis.auth.signing import SigningKey
from chassis.database import new_id
from testkit.tokens import AUDIENCE, ISSUER
from users.sessions.service import IssuedTokens, Refusal
from users.sessions.wiring import sessions as make_sessions

from .conftest import count_living
from .test_sessions import claims_of
from .test_tokens import FORM, assert_refused

REVOKE = "/api/v1/auth/revoke"


@pytest.fixture
def revoke(client):
    """Send a token to the revocation endpoint."""

    async def post(token, **more):
        return await client.post(REVOKE, data={"token": token, **more})

    return post


@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "saml2"])
async def test_either_token_ends_its_session_whatever_the_hint(
    register, log_in, refresh, revoke, events, db, name, hint
):
    await register()
    own, other = await log_in(), await log_in()

    answer = await revoke(own[name], **({} if hint is None else {"token_type_hint": hint}))

    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["cache-control"] == "no-store"
    refused = await refresh(own["refresh_token"])
    assert refused.json()["error_description"] == Refusal.REVOKED
    assert (await refresh(other["refresh_token"])).status_code == 200
    (announced,) = [data for kind, _, data in await events() if kind == "session.revoked.v1"]
    assert announced["sids"] == [claims_of(own)["sid"]]
    entry = await db.fetchrow("SELECT * FROM audit_log WHERE action = 'session.ended'")
    assert str(entry["session_id"]) == claims_of(own)["sid"]
    assert entry["actor_kind"] == "user"


@pytest.mark.parametrize("which", [0, 1])
async def test_a_used_refresh_token_ends_its_session_too(first, refresh, revoke, db, which):
    chain = [first, (await refresh(first)).json()["refresh_token"]]
    assert (await revoke(chain[which])).status_code == 200
    assert await count_living(db) == 0


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "x" * 600, ".", "ä", "\0", "e30.e30.e30", "." * 8000]
)
@pytest.mark.usefixtures("first")
async def test_a_token_that_is_not_valid_gets_the_same_response(revoke, db, token):
    answer = await revoke(token)
    assert (answer.status_code, answer.json()) == (200, {})
    assert await count_living(db) == 1


async def test_a_parameter_that_is_too_long_is_refused(revoke):
    answer = await revoke("." * 8193)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_an_access_token_with_a_changed_signature_ends_nothing(register, log_in, revoke, db):
    await register()
    head, body, signature = (await log_in())["access_token"].split(".")
    forged = f"{head}.{body}.{'A' * len(signature)}"
    assert (await revoke(forged)).status_code == 200
    assert await count_living(db) == 1


async def test_a_second_revocation_announces_nothing(first, revoke, events):
    assert [(await revoke(first)).status_code for _ in range(2)] == [200, 200]
    assert [kind for kind, _, _ in await events()].count("session.revoked.v1") == 1


async def test_the_token_of_an_api_key_is_not_a_type_that_is_revoked_here(tokens, revoke):
    keys = await asyncio.to_thread(read_key_set, tokens.signing_keys_file)
    (kid, key), *_ = keys.items()
    signer = TokenSigner(
        key=lambda: SigningKey(kid=kid, key=key),
        issuer=ISSUER,
        audience=AUDIENCE,
        lifetime=timedelta(minutes=10),
    )
    token = signer.sign(
        subject=new_id(), grant=ApiKeyGrant(api_key_id=new_id()), roles=[], scopes=[]
    )
    assert_refused(await revoke(token), "unsupported_token_type")


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ("", FORM),
        ("token=", FORM),
        ("token_type_hint=access_token", FORM),
        ("token=a&token=b", FORM),
        (b"token=\xff", FORM),
        ('{"token": "x"}', "application/json"),
    ],
)
async def test_a_wrong_form_is_an_invalid_request(client, content, content_type):
    headers = {"Content-Type": content_type}
    assert_refused(await client.post(REVOKE, content=content, headers=headers), "invalid_request")


async def test_a_refresh_that_waits_for_a_revocation_gives_nothing(
    resources, first, refresh, lock_waiters, events
):
    """The revocation holds the family's lock; its end is not committed when the refresh begins."""
    async with resources.database.transaction() as unit:
        await make_sessions(resources, unit).revoke_refresh_token(first)
        waiting = asyncio.create_task(refresh(first))
        await lock_waiters(1)
    assert (await waiting).json()["error_description"] == Refusal.REVOKED
    assert [kind for kind, _, _ in await events()].count("session.revoked.v1") == 1


async def test_a_revocation_that_waits_for_a_refresh_ends_the_successor_too(
    resources, first, refresh, revoke, lock_waiters
):
    """The refresh holds the family's lock; its successor is not committed when the other begins."""
    async with resources.database.transaction() as unit:
        tokens = await make_sessions(resources, unit).refresh(first)
        assert isinstance(tokens, IssuedTokens)
        waiting = asyncio.create_task(revoke(first))
        await lock_waiters(1)
    assert (await waiting).status_code == 200
    refused = await refresh(tokens.refresh_token)
    assert refused.json()["error_description"] == Refusal.REVOKED
