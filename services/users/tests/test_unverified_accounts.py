"""Until an address is verified, a stranger who registered it can add nothing that lasts."""

import pytest

from testkit.authenticator import code_of

from .conftest import PASSKEYS

TOTP = "/api/v1/auth/totp"
KEYS = "/api/v1/api-keys"
VERIFY = "/api/v1/email-verifications/confirm"
KEY = {"name": "Shop", "scopes": ["orders:read"]}
ADDITIONS = [(TOTP, None), (f"{PASSKEYS}/registration-options", None), (KEYS, KEY)]


def kind(answer):
    return (answer.status_code, answer.json()["type"].rpartition("/")[2])


@pytest.fixture
async def stranger(register, log_in):
    """The Authorization header of an account whose address is not verified."""
    await register()
    return {"Authorization": f"Bearer {(await log_in())['access_token']}"}


@pytest.mark.parametrize(("path", "body"), ADDITIONS)
async def test_nothing_lasting_is_added_before_the_address_is_verified(
    client, stranger, mailed, path, body
):
    answer = await client.post(path, json=body, headers=stranger)
    assert kind(answer) == (403, "email-not-verified")
    assert "/email-verifications" in answer.json()["detail"]

    [mail] = await mailed()
    assert (await client.post(VERIFY, json={"token": mail["token"]})).status_code == 204
    assert (await client.post(path, json=body, headers=stranger)).is_success


async def test_what_an_earlier_release_began_is_not_confirmed(client, bearer, db):
    secret = (await client.post(TOTP, headers=bearer)).json()["secret"]
    await db.execute("UPDATE users SET email_verified = false")
    body = {"code": code_of(secret)}
    answer = await client.post(f"{TOTP}/confirm", json=body, headers=bearer)
    assert kind(answer) == (403, "email-not-verified")


async def test_a_passkey_is_not_added_after_the_options(browser, creation_options, add_passkey, db):
    credential = browser.create(await creation_options())
    await db.execute("UPDATE users SET email_verified = false")
    assert kind(await add_passkey(credential)) == (403, "email-not-verified")


async def test_factors_can_be_removed_at_any_time(client, bearer, enrolled, db):
    _, shown = await enrolled()
    await client.post(TOTP, headers=bearer)
    await db.execute("UPDATE users SET email_verified = false")
    assert (await client.delete(TOTP, headers=bearer)).status_code == 204
    assert (await client.delete(f"{PASSKEYS}/{shown['id']}", headers=bearer)).status_code == 204
