"""Which spellings of an e-mail address are the same account, and where its mail is sent."""

import asyncio
import unicodedata

import pytest

from users.accounts.models import checked_email, email_key

USERS = "/api/v1/users"
LOGIN = "/api/v1/auth/login"
PASSWORD = "correct horse battery"
ONE = [
    ("gross@example.com", "GROSS@Example.COM"),
    ("groß@example.com", "GROẞ@example.com"),
    ("grüße@example.com", "GRÜßE@example.com"),
    ("grüße@example.com", unicodedata.normalize("NFD", "grüße@example.com")),
    ("ada@example.com", "\uff21da@example.com"),
    ("kelvin@example.com", "\u212aelvin@example.com"),
    ("ada@straße.de", "ada@xn--strae-oqa.de"),
    ("ada@straße.de", "ada@XN--STRAE-OQA.DE"),
    ("ada@straße.de", "ada@STRAẞE.de"),
    ("ada@café.fr", unicodedata.normalize("NFD", "ada@CAFÉ.fr")),
    ("ada@example.com", "ada@\uff45xample\u3002com"),
]
TWO = [
    ("gross@example.com", "groß@example.com"),
    ("GROSS@example.com", "GROẞ@example.com"),
    ("ada@strasse.de", "ada@straße.de"),
    ("ada@STRASSE.de", "ada@straße.de"),
    ("ada@fass.de", "ada@faß.de"),
    ("fi@example.com", "\ufb01@example.com"),
    ("s@example.com", "\u017f@example.com"),
    ("οδοσ@example.com", "οδος@example.com"),
    ("i@example.com", "İ@example.com"),
    ("i@example.com", "\u0131@example.com"),
    ("ada@example.com", "a.da@example.com"),
    ("ada@example.com", "ada+news@example.com"),
    ("cafe@example.com", "café@example.com"),
]


@pytest.mark.parametrize(("one", "other"), ONE)
def test_spellings_of_one_address_share_a_key(one, other):
    assert email_key(one) == email_key(other) == email_key(checked_email(other))


@pytest.mark.parametrize(("one", "other"), TWO)
def test_two_addresses_have_two_keys(one, other):
    assert email_key(one) != email_key(other)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("  Ada.Lovelace+x@Example.COM ", "Ada.Lovelace+x@Example.COM"),
        ("Groß@STRAẞE.de", "Groß@STRAẞE.de"),
        ("ada@xn--strae-oqa.de", "ada@xn--strae-oqa.de"),
        ("Postmaster@example.com", "Postmaster@example.com"),
        (unicodedata.normalize("NFD", "Grüße@Café.fr"), "Grüße@Café.fr"),
        # Mail software need not apply IDNA's mappings, except for case.
        ("ada@\uff45xample\u3002com", "ada@example.com"),
    ],
)
def test_an_address_is_kept_as_it_was_typed(typed, stored):
    assert checked_email(typed) == stored
    assert checked_email(stored) == stored


def registration(email):
    return {"email": email, "password": PASSWORD, "full_name": "Ada"}


def credentials(email):
    return {"email": email, "password": PASSWORD}


@pytest.mark.parametrize(("one", "other"), ONE)
async def test_one_address_is_one_account_in_each_spelling(client, one, other):
    assert (await client.post(USERS, json=registration(one))).status_code == 201
    taken = await client.post(USERS, json=registration(other))
    assert (taken.status_code, taken.json()["type"].rsplit("/")[-1]) == (409, "email-taken")
    assert (await client.post(LOGIN, json=credentials(other))).status_code == 200


@pytest.mark.parametrize(("one", "other"), TWO)
async def test_two_addresses_are_two_accounts(client, one, other):
    ids = set()
    for email in (one, other):
        registered = await client.post(USERS, json=registration(email))
        assert registered.status_code == 201, registered.text
        token = (await client.post(LOGIN, json=credentials(email))).json()["access_token"]
        me = await client.get(f"{USERS}/me", headers={"Authorization": f"Bearer {token}"})
        assert (me.json()["id"], me.json()["email"]) == (registered.json()["id"], email)
        ids.add(me.json()["id"])
    assert len(ids) == 2


async def test_nobody_logs_in_with_the_password_of_a_neighbour(client):
    await client.post(USERS, json=registration("gross@straße.de"))
    for email in ("groß@straße.de", "gross@strasse.de", "groß@strasse.de"):
        assert (await client.post(LOGIN, json=credentials(email))).status_code == 401


async def test_mail_goes_to_the_address_that_was_typed(client, events):
    typed = "Groß.Ada@STRAẞE.de"
    answer = await client.post(USERS, json=registration(typed))
    ((_, _, announced),) = await events()
    assert answer.json()["email"] == announced["email"] == typed


async def test_of_parallel_registrations_in_different_spellings_one_wins(client, db):
    spellings = ["ada@straße.de", "ADA@STRAẞE.DE", "ada@xn--strae-oqa.de", "\uff41da@straße.de"]
    answers = await asyncio.gather(
        *(client.post(USERS, json=registration(email)) for email in spellings * 2)
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert await db.fetchval("SELECT count(*) FROM users") == 1
