"""Passwords are compared as texts: a password is the same however a keyboard encodes it."""

import asyncio
import unicodedata
from functools import partial

import pytest
from argon2 import PasswordHasher
from pydantic import ValidationError

from chassis.api import create_api
from chassis.auth.passwords import Passwords
from testkit.clients import client_of
from users.accounts.models import new_password, password_spellings, prepared_password
from users.accounts.wiring import account_transaction
from users.declaration import SERVICE
from users.log_ins.errors import InvalidCredentials
from users.log_ins.service import LogIn
from users.log_ins.wiring import log_in_transaction
from users.settings import UsersSettings

LOGIN = "/api/v1/auth/login"
USERS = "/api/v1/users"
EMAIL = "ada@example.com"
COMPOSED = unicodedata.normalize("NFC", "Schlüssel-Über-Café")
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
# As many code points as a new password may have, each of which becomes four in NFD.
LONGEST = "\u1f82" * 128
REFUSED = {
    "control": "a\tpassword",
    "delete": "a password\x7f",
    "line feed": "a password\n",
    "zero width space": "a\u200bpassword",
    "order mark": "\ufeffa password",
    "override": "\u202ea password",
    "joined emoji": "👩\u200d🚀 to the moon",
    "styled emoji": "\u2764\ufe0f of oak, ten",
    "noncharacter": "a password\ufdd0",
    "unassigned": "a password\U000e0fff",
}


class Counted(Passwords):
    """Real passwords that count their verifications."""

    verifications = 0

    async def verify(self, password, stored):
        self.verifications += 1
        return await super().verify(password, stored)


def spelling_of(kind):
    """Return another spelling of the same text."""
    return {
        "composed": COMPOSED,
        "decomposed": DECOMPOSED,
        "half": COMPOSED.replace("é", "e\u0301"),
    }[kind]


@pytest.fixture
def attempt(client):
    async def post(password, email=EMAIL):
        return await client.post(LOGIN, json={"email": email, "password": password})

    return post


@pytest.mark.parametrize(
    ("typed", "prepared"),
    [
        ("correct horse", "correct horse"),
        (DECOMPOSED, COMPOSED),
        # A character of its own, canonically equivalent to a letter.
        ("\u212bngström", "\u00c5ngström"),
        ("a\u0323\u0307 b", "\u1ea1\u0307 b"),
        ("a\u0307\u0323 b", "\u1ea1\u0307 b"),
        ("no\u00a0break\u3000wide\u2003em", "no break wide em"),
        ("  both ends\u00a0", "  both ends "),
        ("\u1112\u1161\u11ab", "\ud55c"),
        ("ﬁne", "fine"),
        ("\uff37ide", "Wide"),
        ("2\u2075 \u2460", "25 1"),
        # RFC 8265 does not accept the NFKC form of one letter of Hangul.
        ("\u314b\u314b u\u0308", "\u314b\u314b \u00fc"),
        ("STRASSE straße", "STRASSE straße"),
        ("🔑🔒", "🔑🔒"),
        ("क्\u200dष", "क्\u200dष"),  # after a virama, a joiner makes another letter
    ],
)
def test_a_password_is_prepared_as_rfc_8265_says(typed, prepared):
    assert prepared_password(typed) == prepared
    assert prepared_password(prepared) == prepared


@pytest.mark.parametrize("typed", ["", *REFUSED.values()], ids=["empty", *REFUSED])
def test_what_cannot_be_typed_again_is_refused(typed):
    with pytest.raises(ValueError, match="RFC 8265") as refused:
        prepared_password(typed)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    assert password_spellings(typed) == (typed,)


def test_lengths_count_the_code_points_of_the_prepared_form():
    for typed in ("y" * 11, unicodedata.normalize("NFD", "é" * 11), "x" * 129, "é" * 129):
        with pytest.raises(ValueError, match="12 to 128 characters"):
            new_password(typed)
    for typed in ("x" * 128, "🔑" * 12, unicodedata.normalize("NFD", LONGEST)):
        new_password(typed)


@pytest.mark.parametrize("chosen", ["composed", "decomposed", "half"])
async def test_a_password_is_accepted_in_every_spelling(register, attempt, chosen):
    await register(password=spelling_of(chosen))

    for typed in ("composed", "decomposed", "half"):
        assert (await attempt(spelling_of(typed))).status_code == 200, typed


@pytest.mark.parametrize(
    ("chosen", "typed", "status"),
    [
        ("a space between", "a\u00a0space\u3000between", 200),
        ("a\u2003space between", "a space between", 200),
        ("a space between", "aspacebetween", 401),
        ("große Straße", "grosse Strasse", 401),
        ("Correct Horse", "correct horse", 401),
        ("ﬁne password", "fine password", 200),
        ("wide password", "\uff37ide password", 401),
        ("Wide password", "\uff37ide password", 200),
        ("pässword ten", "password ten", 401),
    ],
)
async def test_spellings_of_one_text_are_one_password_and_no_others(
    register, attempt, chosen, typed, status
):
    await register(password=chosen)
    assert (await attempt(typed)).status_code == status
    assert (await attempt(chosen)).status_code == 200


async def test_the_longest_password_is_accepted_in_decomposed_form(client, register, attempt):
    await register(password=LONGEST)
    decomposed = unicodedata.normalize("NFD", LONGEST)
    assert len(decomposed) == 512
    assert (await attempt(decomposed)).status_code == 200
    assert (await attempt(LONGEST[:1] * 201)).status_code == 422
    for typed in (decomposed + "x", LONGEST + "x"):
        assert (await attempt(typed)).status_code == 401
        body = {"email": "grace@example.com", "password": typed, "full_name": "Grace"}
        assert (await client.post(USERS, json=body)).status_code == 422


@pytest.mark.parametrize("password", REFUSED.values(), ids=REFUSED)
async def test_a_refused_password_is_pointed_to_and_not_repeated(client, db, password):
    body = {"email": EMAIL, "password": password, "full_name": "Ada"}
    answer = await client.post(USERS, json=body)

    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "#/password"
    assert "invisible" in error["detail"]
    assert "password\\" not in answer.text
    assert "oak" not in answer.text
    assert await db.fetchval("SELECT count(*) FROM users") == 0


async def test_a_hash_of_the_typed_text_is_accepted_as_typed_and_renewed(register, attempt, db):
    """The hash was made before passwords were prepared."""
    await register()
    await store(db, DECOMPOSED)

    assert (await attempt(COMPOSED)).status_code == 401
    before = await db.fetchval("SELECT password_hash FROM users")
    assert (await attempt(DECOMPOSED)).status_code == 200
    renewed = await db.fetchval("SELECT password_hash FROM users")
    assert renewed != before
    for typed in (COMPOSED, DECOMPOSED):
        assert (await attempt(typed)).status_code == 200
    assert await db.fetchval("SELECT password_hash FROM users") == renewed


async def test_a_hash_of_the_composed_text_is_accepted_and_renewed(register, attempt, db):
    """The hash was made before passwords were prepared by NFKC."""
    await register()
    await store(db, "o\ufb03cial \uff37ords")
    assert (await attempt("official Words")).status_code == 401
    assert (await attempt("o\ufb03cial \uff37ords")).status_code == 200
    assert (await attempt("official Words")).status_code == 200


async def test_log_ins_that_renew_a_typed_hash_at_once_all_succeed(register, attempt, db):
    """One finds the other's new hash between its verification and its session."""
    await register()
    await store(db, DECOMPOSED)

    answers = await asyncio.gather(*(attempt(DECOMPOSED) for _ in range(4)))

    assert [answer.status_code for answer in answers] == [200] * 4


@pytest.mark.parametrize("typed", ["👩\u200d🚀 to the moon", "tab\tbetween"])
async def test_a_hash_of_a_text_that_is_refused_today_is_still_accepted(
    register, attempt, db, typed
):
    await register()
    await store(db, typed)

    for _ in range(2):
        assert (await attempt(typed)).status_code == 200
    assert (await attempt(typed.replace("\u200d", "").replace("\t", " "))).status_code == 401


async def test_an_unknown_account_costs_as_many_verifications_in_each_spelling(register, resources):
    """Otherwise the time would reveal which accounts exist."""
    await register()
    for typed in (COMPOSED, DECOMPOSED, "tab\tbetween", "\uff37ide u\u0308"):
        counts = []
        for email in (EMAIL, "nobody@example.com"):
            with Counted() as counted:
                transaction = partial(log_in_transaction, resources)
                use_case = LogIn(transaction=transaction, passwords=counted)
                with pytest.raises(InvalidCredentials):
                    await use_case.run(email=email, password=typed, address="127.0.0.1")
            counts.append(counted.verifications)
        assert counts[0] == counts[1] == len(password_spellings(typed))


@pytest.fixture
def admin_settings(settings):
    given = {"first_admin_email": "root@example.com", "first_admin_password": DECOMPOSED}
    return UsersSettings(**{**settings.model_dump(), **given})


async def test_the_first_admin_logs_in_in_every_spelling(admin_settings):
    app = create_api(SERVICE, admin_settings)
    async with client_of(app) as client:
        (job,) = [one for one in app.state.process._running if one.get_name() == "first admin"]
        async with asyncio.timeout(10):
            await asyncio.wait([job])
        for typed in (COMPOSED, DECOMPOSED):
            body = {"email": "root@example.com", "password": typed}
            assert (await client.post(LOGIN, json=body)).status_code == 200


@pytest.mark.parametrize("password", REFUSED.values(), ids=REFUSED)
def test_a_first_admin_whose_password_nobody_can_type_is_named(settings, password):
    given = {"first_admin_email": "root@example.com", "first_admin_password": password}
    with pytest.raises(ValidationError, match="first_admin_password") as refused:
        UsersSettings(**{**settings.model_dump(), **given})
    assert password not in str(refused.value)


async def test_a_use_case_prepares_what_no_schema_has_seen(resources, attempt):
    async with account_transaction(resources) as accounts:
        await accounts.register(
            email=EMAIL, password=DECOMPOSED, full_name="Ada", address="203.0.113.9"
        )
    assert (await attempt(COMPOSED)).status_code == 200


async def store(db, password):
    """Store the hash of a text without preparing it."""
    made = await asyncio.to_thread(PasswordHasher(2, 19_456, 1).hash, password)
    await db.execute("UPDATE users SET password_hash = $1", made)
