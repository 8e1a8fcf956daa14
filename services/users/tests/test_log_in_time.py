"""The time of a log-in does not reveal whether its account exists.

Compared is what makes up the time: the statements, the hashes, and the CPU time that the process
takes. A clock would also measure the other programs of the machine.
"""

import time
from dataclasses import replace
from statistics import median

import httpx
import pytest
from argon2 import PasswordHasher

from chassis.api import create_api
from chassis.auth.passwords import HashParameters, Passwords
from testkit.clients import client_of
from testkit.statements import statements_of_requests
from users.declaration import SERVICE

LOGIN = "/api/v1/auth/login"
ROUNDS = 15
# Each has a wrong password. An account that has never been, one that was deactivated, one whose
# hash has former parameters, and one with a password in two spellings have no shorter way either.
FORMER = HashParameters(memory_kib=9_728, passes=1)
OLD, CURRENT = "$argon2id$v=19$m=9728,t=1,p=1", "$argon2id$v=19$m=19456,t=2,p=1"
KINDS = {
    "known": ("ada@example.com", "wrong horse battery"),
    "unknown": ("nobody@example.com", "wrong horse battery"),
    "former": ("old@example.com", "wrong horse battery"),
    "deactivated": ("idle@example.com", "wrong horse battery"),
}
TWO_SPELLINGS = "wrong horse battery e\u0301"


@pytest.fixture
async def app(settings):
    return create_api(SERVICE, settings)


@pytest.fixture
async def client(app):
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def accounts(register, db):
    await register("ada@example.com")
    await register("idle@example.com")
    await register("old@example.com")
    stored = FORMER.hasher().hash("correct horse battery")
    await db.execute("UPDATE users SET password_hash = $1 WHERE email LIKE 'old@%'", stored)
    await db.execute("UPDATE users SET is_active = false WHERE email = 'idle@example.com'")


class Attempts:
    """Log-ins that fail, each from another address, so that none is throttled."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._number = 0

    async def fail(self, email: str, password: str) -> None:
        self._number += 1
        address = f"198.51.{self._number // 250}.{self._number % 250 + 1}"
        answer = await self._client.post(
            LOGIN, json={"email": email, "password": password}, headers={"X-Real-IP": address}
        )
        assert answer.status_code == 401, answer.text


@pytest.fixture
def attempts(client):
    return Attempts(client)


class WatchedHasher:
    """Argon2id, which records the algorithm and the parameters of each verified hash."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self.verified: list[str] = []

    def hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def verify(self, stored: str, password: str) -> bool:
        self.verified.append(stored.rsplit("$", 2)[0])
        return self._hasher.verify(stored, password)

    def check_needs_rehash(self, stored: str) -> bool:
        return self._hasher.check_needs_rehash(stored)


@pytest.fixture
async def hasher(app, accounts):
    """The hasher of the app from now on."""
    del accounts
    hasher = WatchedHasher()
    with Passwords(hasher=hasher, former=[FORMER]) as passwords:
        app.state.resources = replace(app.state.resources, passwords=passwords)
        yield hasher


@pytest.mark.usefixtures("accounts")
async def test_the_statements_are_the_same(app, attempts):
    seen = {}
    # The driver has read the types that it needs. A second failure within a minute is not recorded.
    await attempts.fail("another@example.com", "wrong horse battery")
    for kind, (email, password) in KINDS.items():
        async with statements_of_requests(app.state.database) as sent:
            await attempts.fail(email, password)
        seen[kind] = sent
    assert seen["known"]
    assert all(sent == seen["known"] for sent in seen.values())


@pytest.mark.parametrize("password", ["wrong horse battery", TWO_SPELLINGS])
async def test_the_hashes_are_as_many_and_as_slow(attempts, hasher, password):
    seen = {}
    for kind, (email, _) in KINDS.items():
        hasher.verified.clear()
        await attempts.fail(email, password)
        seen[kind] = list(hasher.verified)
    spellings = 2 if password == TWO_SPELLINGS else 1
    assert sorted(seen["known"]) == sorted([CURRENT, OLD] * spellings)
    assert all(sorted(parameters) == sorted(seen["known"]) for parameters in seen.values())


@pytest.mark.usefixtures("accounts")
async def test_the_cpu_time_has_the_same_distribution(attempts):
    """The medians of all kinds are alike, whose log-ins were made in turns."""
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for place in range(ROUNDS + 1):
        for kind in sorted(KINDS, key=list(KINDS).index, reverse=place % 2 == 1):
            before = time.process_time()
            await attempts.fail(*KINDS[kind])
            times[kind].append(time.process_time() - before)
    known = median(times["known"][1:])
    for taken in times.values():
        # Without its hash, an unknown account would take a tenth of the time.
        assert 0.7 < median(taken[1:]) / known < 1.4, times
