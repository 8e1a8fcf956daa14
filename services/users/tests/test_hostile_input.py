"""Hostile texts in every field are accepted unchanged or refused; they never cause a failure."""

import json

import pytest

from chassis.database import new_id

TEXTS = {
    "sql": "Robert'); DROP TABLE users; --",
    "crlf": "Ada\r\nBcc: everybody@example.com\r\n\r\n",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "template": "{{7*7}} ${7*7} #{7*7} %(name)s %s {0.__class__}",
    "nul": "Ada\0Lovelace",
    "surrogate": "Ada\ud800",
    "rtl": "\u202eadA\u202c مرحبا",
    "emoji": "👩‍🚀🏴‍☠️" * 3,
    "format": "\u200b\ufeff\u2028\x7f\x1b[31m",
    "path": "../../../../etc/passwd%00",
}
# PostgreSQL can't store U+0000, and a lone surrogate is not Unicode text.
REFUSED_EVERYWHERE = {"nul", "surrogate"}
# Users must be able to type a password on another keyboard, so RFC 8265 §4.2 refuses what is
# invisible.
REFUSED_AS_PASSWORD = REFUSED_EVERYWHERE | {"crlf", "rtl", "emoji", "format"}


@pytest.fixture(params=TEXTS)
def kind(request):
    return request.param


def raw(body):
    """Return JSON with escapes, because a lone surrogate can only be sent as an escape."""
    return {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}


async def test_as_a_name(client, db, kind):
    body = {
        "email": "ada@example.com",
        "password": "correct horse battery",
        "full_name": TEXTS[kind],
    }

    answer = await client.post("/api/v1/users", **raw(body))

    if kind in REFUSED_EVERYWHERE:
        assert answer.status_code in {400, 422}, answer.text
        return
    assert answer.status_code == 201, answer.text
    stored = await db.fetchval("SELECT full_name FROM users")
    assert stored == answer.json()["full_name"] == TEXTS[kind].strip()


async def test_as_a_changed_name(client, bearer, kind):
    sent = raw({"full_name": TEXTS[kind]})
    sent["headers"] |= bearer

    answer = await client.patch("/api/v1/users/me", **sent)

    expected = {400, 422} if kind in REFUSED_EVERYWHERE else {200}
    assert answer.status_code in expected, answer.text


async def test_as_a_password(client, register, kind):
    password = (TEXTS[kind] * 12)[:100]
    if kind in REFUSED_AS_PASSWORD:
        body = {"email": "ada@example.com", "password": password, "full_name": "Ada"}
        answer = await client.post("/api/v1/users", **raw(body))
        assert answer.status_code in {400, 422}
        return
    await register(password=password)

    for given, status in ((password, 200), (password[:-1], 401)):
        body = {"email": "ada@example.com", "password": given}
        assert (await client.post("/api/v1/auth/login", **raw(body))).status_code == status


@pytest.mark.parametrize("place", ["{}", "{}@example.com", "ada@{}.com"])
async def test_as_an_address(client, kind, place):
    email = place.format(TEXTS[kind])
    new = {"email": email, "password": "correct horse battery", "full_name": "Ada"}

    registered = await client.post("/api/v1/users", **raw(new))
    known = await client.post("/api/v1/auth/login", **raw({**new, "full_name": None}))
    body = {"email": email, "password": "correct horse battery"}
    logged_in = await client.post("/api/v1/auth/login", **raw(body))

    assert registered.status_code in {201, 400, 422}, registered.text
    assert known.status_code in {400, 422}
    expected = {200} if registered.status_code == 201 else {400, 422}
    assert logged_in.status_code in expected, logged_in.text


async def test_as_a_field_name(client, kind):
    answer = await client.post("/api/v1/users", **raw({TEXTS[kind]: 1}))

    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_as_a_role(client, register, tokens, kind):
    user = await register()
    sent = raw({"roles": [TEXTS[kind]]})
    sent["headers"] |= tokens.headers(scopes=["users:write"])

    answer = await client.patch(f"/api/v1/users/{user['id']}", **sent)

    assert answer.status_code in {400, 422}


async def test_in_the_token_form(client, kind):
    text = TEXTS[kind].encode("utf-8", "surrogatepass")
    for data in (
        {"grant_type": "refresh_token", "refresh_token": text},
        {"grant_type": text, "refresh_token": "x"},
        {"grant_type": "refresh_token", "refresh_token": "x", text: "x"},
    ):
        answer = await client.post("/api/v1/auth/token", data=data)
        assert answer.status_code == 400
        assert answer.json().keys() == {"error", "error_description"}


async def test_in_paths_queries_and_headers(client, tokens, kind):
    headers = tokens.headers(scopes=["users:read", "users:write"])
    text = TEXTS[kind].encode("utf-8", "surrogatepass")
    quoted = "".join(f"%{byte:02x}" for byte in text)
    visible = text.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")

    by_path = await client.get(f"/api/v1/users/{quoted}", headers=headers)
    by_cursor = await client.get(f"/api/v1/users?cursor={quoted}", headers=headers)
    by_tag = await client.patch(
        f"/api/v1/users/{new_id()}", json={}, headers={**headers, "If-Match": visible}
    )
    by_token = await client.get("/api/v1/users/me", headers={"Authorization": b"Bearer " + visible})

    assert by_path.status_code in {404, 422}
    assert by_cursor.status_code == 422
    assert by_tag.status_code == 404
    assert by_token.status_code == 401
