"""A user's preferences over HTTP: defaults, replacement, versions, and what is required."""

import asyncio
from typing import Any

import pytest

from chassis.database import new_id

PATH = "/api/v1/notifications/preferences"
ON = {"in_app": True, "email": True, "webhook": True}
DEFAULTS = {
    "orders": ON,
    "security": ON,
    "announcements": ON,
    "locale": None,
    "version": 0,
}


@pytest.fixture
def put(client, headers):
    """Replace the preferences of a user."""

    async def replace(user, body, **fields):
        return await client.put(PATH, headers=headers(user) | fields, json=body)

    return replace


@pytest.fixture
def get(client, headers):
    """Read the preferences of a user."""

    async def read(user, **fields):
        return await client.get(PATH, headers=headers(user) | fields)

    return read


async def test_a_user_who_has_chosen_nothing_has_the_defaults_at_version_0(get, db):
    answer = await get(new_id())
    assert (answer.status_code, answer.json()) == (200, DEFAULTS)
    assert answer.headers["etag"] == '"0"'
    assert await db.fetchval("SELECT count(*) FROM preferences") == 0


async def test_what_was_put_is_read_and_what_is_left_out_is_the_default(put, get):
    user = new_id()
    first = await put(user, {"orders": {"email": False}, "locale": "de-CH"})
    assert first.status_code == 200
    assert first.json() == DEFAULTS | {
        "orders": ON | {"email": False},
        "locale": "de-CH",
        "version": 1,
    }
    assert first.headers["etag"] == '"1"'
    assert (await get(user)).json() == first.json()
    second = await put(user, {"announcements": {"in_app": False}})
    assert second.json() == DEFAULTS | {"announcements": ON | {"in_app": False}, "version": 2}
    assert (await get(new_id())).json() == DEFAULTS


async def test_what_was_read_can_be_put_back_and_is_no_change(put, get, db):
    user = new_id()
    await put(user, {"orders": {"webhook": False}})
    present = (await get(user)).json()
    answer = await put(user, present)
    assert (answer.status_code, answer.json()) == (200, present)
    assert await db.fetchval("SELECT version FROM preferences") == 1


async def test_a_known_version_is_304(put, get):
    user = new_id()
    assert (await get(user, **{"If-None-Match": '"0"'})).status_code == 304
    await put(user, {"locale": "fr"})
    assert (await get(user, **{"If-None-Match": '"0"'})).status_code == 200
    assert (await get(user, **{"If-None-Match": '"1"'})).status_code == 304


@pytest.mark.parametrize(
    ("fields", "version", "status"),
    [
        ({"If-Match": '"1"'}, None, 200),
        ({}, 1, 200),
        ({"If-Match": '"1"'}, 1, 200),
        ({"If-Match": "*"}, None, 200),
        ({"If-Match": '"0"'}, None, 412),
        ({"If-Match": '"1"'}, 0, 412),
        ({"If-Match": '"0"'}, 1, 412),
        ({}, 2, 412),
        ({"If-None-Match": "*"}, None, 412),
    ],
)
async def test_a_change_needs_the_version_that_it_names(put, get, fields, version, status):
    user = new_id()
    await put(user, {"locale": "fr"})
    body = {"locale": "de"} | ({} if version is None else {"version": version})
    answer = await put(user, body, **fields)
    assert answer.status_code == status
    if status == 412:
        assert answer.json()["type"].endswith("/precondition-failed")
    assert (await get(user)).json()["locale"] == ("de" if status == 200 else "fr")


async def test_between_the_read_and_the_write_of_one_change_another_one_is_committed(put, get):
    """The first change of a user: there is no row yet that both could lock."""
    user = new_id()
    bodies = [{"locale": locale, "version": 0} for locale in ("de", "fr", "it", "nl")]
    answers = await asyncio.gather(*(put(user, body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
    [stored] = [answer.json() for answer in answers if answer.status_code == 200]
    assert (await get(user)).json() == stored
    assert stored["version"] == 1


async def test_security_cannot_be_switched_off(put, get):
    user = new_id()
    off = {"security": {"email": False, "webhook": False}, "locale": "de"}
    answer = await put(user, off)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"].endswith("/security-notifications-required")
    assert [error["pointer"] for error in problem["errors"]] == [
        "#/security/email",
        "#/security/webhook",
    ]
    assert (await get(user)).json() == DEFAULTS


async def test_not_even_the_table_takes_security_as_muted(owner, database):
    del database  # it empties the tables before
    with pytest.raises(Exception, match="ck_preferences_security_on"):
        await owner.execute(
            "INSERT INTO preferences (user_id, muted) VALUES ($1, '{orders.email,security.email}')",
            new_id(),
        )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"news": ON}, "#/news"),
        ({"orders": {"sms": True}}, "#/orders/sms"),
        ({"orders": {"email": "no"}}, "#/orders/email"),
        ({"orders": None}, "#/orders"),
        ({"locale": "x" * 36}, "#/locale"),
        ({"locale": "../en"}, "#/locale"),
        ({"locale": "de\u0000"}, "#/locale"),
        ({"version": -1}, "#/version"),
        ({"version": 2**63}, "#/version"),
    ],
)
async def test_a_wrong_body_is_422_and_names_the_field(put, body, pointer):
    answer = await put(new_id(), body)
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_without_a_token_401_and_without_the_scope_403(client, tokens, method):
    body: dict[str, Any] = {} if method == "GET" else {"json": {}}
    assert (await client.request(method, PATH, **body)).status_code == 401
    without = tokens.headers(scopes=["orders:read"])
    assert (await client.request(method, PATH, headers=without, **body)).status_code == 403
