"""Passwords: hashed off the loop, and an unknown account costs what a known one does."""

import asyncio
import time
from collections.abc import Iterator

import argon2
import pytest

from chassis.auth.passwords import Passwords


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    with Passwords(threads=1) as passwords:
        yield passwords


async def test_a_password_is_verified_against_its_hash(passwords: Passwords):
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.verify("correct horse", stored)
    assert not await passwords.verify("wrong horse", stored)
    assert stored != await passwords.hash("correct horse")


async def test_nobodys_password_is_never_right(passwords: Passwords):
    for guess in ("", "a password that nobody has"):
        assert not await passwords.verify(guess, None)
        assert not await passwords.verify(guess, "")


@pytest.mark.parametrize("stored", ["", "plain text", "$argon2id$v=19$m=1", "$2b$12$abc", "é"])
async def test_what_is_no_hash_matches_nothing(passwords: Passwords, stored: str):
    assert not await passwords.verify("anything", stored)


async def test_an_unknown_account_takes_the_same_path(passwords: Passwords):
    stored = await passwords.hash("x")
    known: list[float] = []
    unknown: list[float] = []
    for _ in range(3):
        for account, times in ((stored, known), (None, unknown)):
            started = time.perf_counter()
            await passwords.verify("wrong", account)
            times.append(time.perf_counter() - started)
    assert 0.4 < min(unknown) / min(known) < 2.5  # a skipped hash would be a hundredth


async def test_a_hash_of_older_parameters_is_good_and_reported(passwords: Passwords):
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("x")
    assert await passwords.verify("x", old)
    assert passwords.needs_rehash(old)
    assert not passwords.needs_rehash(await passwords.hash("x"))


async def test_the_loop_goes_on_while_threads_hash(passwords: Passwords):
    turns = 0
    hashing = asyncio.gather(*(passwords.hash("x") for _ in range(5)))
    while not hashing.done():
        turns += 1
        await asyncio.sleep(0)
    await hashing
    assert turns > 50  # each hash takes the loop's time of many turns
