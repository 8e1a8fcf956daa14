"""Registration: one account for an address, in any spelling, and with any concurrent requests."""

import asyncio

import pytest

from users.accounts.models import Account

PATH = "/api/v1/users"
BODY = {
    "email": "Ada@Example.COM",
    "password": "  correct horse  ",
    "full_name": "  Ada Lovelace ",
}


async def test_a_customer_registers(client, events):
    answer = await client.post(PATH, json=BODY)

    user = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/users/{user['id']}"
    assert answer.headers["etag"] == '"1"'
    assert user.keys() == {
        "id",
        "email",
        "full_name",
        "roles",
        "is_active",
        "email_verified",
        "version",
        "created_at",
        "updated_at",
    }
    assert user["email"] == "Ada@Example.COM"
    assert user["full_name"] == "Ada Lovelace"
    assert user["roles"] == ["customer"]
    assert (user["is_active"], user["email_verified"], user["version"]) == (True, False, 1)
    assert await events() == [
        (
            "user.registered.v1",
            "00000000000000000001",
            {
                "version": 1,
                "user_id": user["id"],
                "email": "Ada@Example.COM",
                "full_name": "Ada Lovelace",
                "roles": ["customer"],
            },
        )
    ]


async def test_the_password_is_stored_as_argon2id_only(client, db):
    await client.post(PATH, json=BODY)

    row = await db.fetchrow("SELECT * FROM users")
    assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "correct horse" not in str(dict(row))


@pytest.mark.parametrize(
    "spelling", ["Ada@Example.COM", "ada@example.com", "ADA@EXAMPLE.COM", " ada@example.com "]
)
async def test_a_taken_address_is_refused_in_any_spelling(client, events, spelling):
    await client.post(PATH, json=BODY)

    answer = await client.post(PATH, json={**BODY, "email": spelling})

    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith("/email-taken")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert len(await events()) == 1


async def test_of_parallel_registrations_of_one_address_one_wins(client, db, events):
    spellings = [BODY["email"], BODY["email"].lower()] * 5

    answers = await asyncio.gather(
        *(client.post(PATH, json={**BODY, "email": spelling}) for spelling in spellings)
    )

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert await db.fetchval("SELECT count(*) FROM users") == 1
    assert len(await events()) == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"email": "nobody"}, "#/email"),
        ({"email": "Ada <ada@example.com>"}, "#/email"),
        ({"email": 1}, "#/email"),
        ({"email": f"{'a' * 250}@example.com"}, "#/email"),
        ({"password": "short"}, "#/password"),
        ({"password": "eleven char"}, "#/password"),
        ({"password": "y" * 129}, "#/password"),
        ({"password": None}, "#/password"),
        ({"full_name": "   "}, "#/full_name"),
        ({"full_name": "x" * 201}, "#/full_name"),
        ({"roles": ["admin"]}, "#/roles"),
    ],
)
async def test_a_wrong_field_is_pointed_to(client, db, change, pointer):
    answer = await client.post(PATH, json={**BODY, **change})

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("/validation-failed")
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert await db.fetchval("SELECT count(*) FROM users") == 0


async def test_every_missing_field_is_named(client):
    answer = await client.post(PATH, json={})

    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "#/email",
        "#/password",
        "#/full_name",
    }


async def test_no_response_repeats_the_password(client):
    for body in ({**BODY, "email": "nobody"}, {**BODY, "password": "secret"}):
        answer = await client.post(PATH, json=body)
        assert answer.status_code == 422
        assert body["password"].strip() not in answer.text


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"email=a", "application/x-www-form-urlencoded", 415),
        (b"{}", "", 415),
        (b" " * 1_048_577, "application/json", 413),
        (b"[]", "application/json", 422),
    ],
)
async def test_a_body_of_another_format_is_refused(client, content, content_type, status):
    headers = {"Content-Type": content_type} if content_type else {}

    answer = await client.post(PATH, content=content, headers=headers)

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["instance"] == PATH


async def test_an_encoded_body_is_refused(client):
    answer = await client.post(PATH, content=b"x", headers={"Content-Encoding": "gzip"})

    assert answer.status_code == 415


def test_a_hash_never_shows_in_a_repr():
    assert "argon2" not in repr(Account(password_hash="$argon2id$"))
