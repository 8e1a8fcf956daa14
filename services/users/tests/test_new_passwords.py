"""What a newly chosen password must be: long enough, and not one that everybody chooses."""

import pytest

from users.accounts.models import is_made_of_own_words, new_password

from .conftest import PASSWORD
from .test_accounts import USERS

COMMON = [
    "password1234",
    "Password1234",
    "PaSsWoRd1234",
    "123456789012",
    "qwertyuiop12",
    "passwordpassword",
    "correcthorsebatterystaple",
    "\uff50assword1234",
]


@pytest.mark.parametrize("password", COMMON)
async def test_a_common_password_is_refused_and_the_reason_is_given(client, db, password):
    body = {"email": "ada@example.com", "password": password, "full_name": "Ada"}
    answer = await client.post(USERS, json=body)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["pointer"] == "#/password"
    assert "used most" in error["detail"]
    assert "choose another" in error["detail"]
    assert password not in answer.text
    assert await db.fetchval("SELECT count(*) FROM users") == 0


@pytest.mark.parametrize(
    "password",
    [
        "password1234 of a boat",  # the whole password is compared (NIST SP 800-63B-4 §3.1.1.2)
        "correct horse battery",
        "only lower case",
        "ONLY UPPER CASE",
        "4915 8302 7716",
        "🔑🔒🗝🚪🏠🌊⚓⛵🐟🦀🌅🌙",
        "слова без связи",
        "x" * 11 + "\uff21",
        "\u3131" * 12,  # one letter of Hangul, whose NFKC form RFC 8265 does not accept
        "a b c d e f g",
        "z" * 128,
    ],
)
async def test_there_are_no_rules_but_the_length_and_the_list(client, password):
    assert new_password(new_password(password)) == new_password(password)
    body = {"email": "ada@example.com", "password": password, "full_name": "Ada"}
    assert (await client.post(USERS, json=body)).status_code == 201


OWN = {"email": "ada.lovelace@navy.example", "full_name": "Ada Byron King"}


@pytest.mark.parametrize(
    "password",
    [
        "ada.lovelace@navy.example",
        "AdaLovelace1815",
        "king byron ada!",
        "slipway-slipway",
        "Slipway_Ada_2026",
        "adaadaadaada",
        "navy navy navy 7",
    ],
)
async def test_a_password_of_the_accounts_own_words_is_refused(client, log_in, db, password):
    assert is_made_of_own_words(password, **OWN)
    answer = await client.post(USERS, json={**OWN, "password": password})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/password"]
    assert password not in answer.text
    assert await db.fetchval("SELECT count(*) FROM users") == 0

    await client.post(USERS, json={**OWN, "password": PASSWORD})
    tokens = await log_in(OWN["email"])
    answer = await client.put(
        f"{USERS}/me/password",
        json={"current_password": PASSWORD, "new_password": password},
        headers={"Authorization": f"Bearer {tokens['access_token']}"},
    )
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/new_password"]


@pytest.mark.parametrize(
    ("password", "email", "full_name"),
    [
        ("christopher1", "christopher1@navy.example", "Chris King"),  # the local part, as it is
        ("Christopher1!", "christopher1@navy.example", "Chris King"),
        ("navy-christopher1", "christopher1@navy.example", "Chris King"),
        ("christopher12026", "christopher1@navy.example", "Chris King"),
        ("491701234567", "491701234567@navy.example", "Chris King"),
        ("Zo\u00eb Lovelace", "z@navy.example", "Zoe\u0308 Lovelace"),  # a name as typed on a Mac
        ("christopher7", "\uff43hristopher@navy.example", "Chris King"),
    ],
)
def test_words_count_with_their_digits_and_in_any_spelling(password, email, full_name):
    assert is_made_of_own_words(new_password(password), email=email, full_name=full_name)


@pytest.mark.parametrize(
    "password",
    [
        "ada likes boats",
        "lovelace and king",
        "4915 8302 7716",
        "my slipway 2026",
        "1815 ada 1815 x",
        "a" * 128,
        "181518151815",
    ],
)
def test_a_password_with_an_own_word_and_others_is_accepted(password):
    assert not is_made_of_own_words(password, **OWN)


def test_a_name_of_overlapping_words_costs_no_time():
    """A search with backtracking would try more ways than there are atoms."""
    name = " ".join("a" * n for n in range(1, 15))
    assert not is_made_of_own_words("a" * 127 + "x", email="z@example.com", full_name=name)


@pytest.mark.parametrize("length", [0, 1, 11, 129, 200])
def test_a_length_out_of_bounds_is_refused(length):
    with pytest.raises(ValueError, match=r"12 to 128 characters|empty"):
        new_password("é" * length)


async def test_a_password_of_an_earlier_release_logs_in_although_it_is_too_short_or_common(
    client, register, resources, db
):
    await register()
    for former in ("short", "password1234", "y" * 200):
        made = await resources.passwords.hash(former)
        await db.execute("UPDATE users SET password_hash = $1", made)
        body = {"email": "ada@example.com", "password": former}
        assert (await client.post("/api/v1/auth/login", json=body)).status_code == 200
