"""Passwords are hashed outside the event loop; an unknown account costs as much as a known one."""

import asyncio
import threading
import time
from collections.abc import Iterator

import argon2
import pytest

from chassis.auth.passwords import HashParameters, Passwords, PasswordsBusy
from chassis.deadline import Deadline, DeadlineExceeded


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


async def test_the_password_of_an_unknown_account_never_matches(passwords: Passwords):
    for guess in ("", "a password that nobody has"):
        assert not await passwords.verify(guess, None)
        assert not await passwords.verify(guess, "")


@pytest.mark.parametrize("stored", ["", "plain text", "$argon2id$v=19$m=1", "$2b$12$abc", "é"])
async def test_an_invalid_hash_matches_no_password(passwords: Passwords, stored: str):
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
    # Without its hash, one would take a hundredth of the time.
    assert 0.4 < min(unknown) / min(known) < 2.5


class WatchedHasher:
    """Argon2id, which records the parameters of each verified hash."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher()
        self.verified: list[str] = []

    def hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def verify(self, stored: str, password: str) -> bool:
        self.verified.append(stored.split("$")[3] if stored else "")
        return self._hasher.verify(stored, password)

    def check_needs_rehash(self, stored: str) -> bool:
        return self._hasher.check_needs_rehash(stored)


OLD = HashParameters(memory_kib=8, passes=1)
NEW = HashParameters(memory_kib=16, passes=2)
COSTS = ["m=16,t=2,p=1", "m=8,t=1,p=1"]


@pytest.mark.parametrize(
    "stored",
    [OLD.hasher().hash("x"), NEW.hasher().hash("x"), None, ""],
    ids=["old", "new", "no account", "no password"],
)
async def test_a_wrong_password_costs_the_same_hashes_for_old_new_and_no_accounts(
    stored: str | None,
):
    hasher = WatchedHasher()
    with Passwords(threads=1, parameters=NEW, former=[OLD], hasher=hasher) as passwords:
        assert not await passwords.verify("wrong", stored)
    assert sorted(one for one in hasher.verified if one) == COSTS


async def test_parameters_that_no_setting_names_are_known_once_a_hash_with_them_was_met():
    hasher = WatchedHasher()
    with Passwords(threads=1, parameters=NEW, hasher=hasher) as passwords:
        assert not await passwords.verify("wrong", OLD.hasher().hash("x"))
        hasher.verified.clear()
        assert not await passwords.verify("wrong", None)
    assert sorted(hasher.verified) == COSTS


async def test_a_right_password_costs_one_hash():
    hasher = WatchedHasher()
    with Passwords(threads=1, parameters=NEW, former=[OLD], hasher=hasher) as passwords:
        assert await passwords.verify("x", OLD.hasher().hash("x"))
    assert hasher.verified == ["m=8,t=1,p=1"]


async def test_a_hash_of_older_parameters_is_accepted_and_reported(passwords: Passwords):
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("x")
    assert await passwords.verify("x", old)
    assert passwords.needs_rehash(old)
    assert not passwords.needs_rehash(await passwords.hash("x"))


async def test_the_loop_goes_on_while_threads_hash():
    turns = 0
    with Passwords(threads=1, seconds=60) as passwords:  # on a loaded machine each waits long
        hashing = asyncio.gather(*(passwords.hash("x") for _ in range(5)))
        while not hashing.done():
            turns += 1
            await asyncio.sleep(0)
        await hashing
    assert turns > 50  # a hash takes as long as many turns of the loop


class HeldHasher:
    """A hasher that hashes when the test allows it, and records what it was given."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._held = threading.Semaphore(0)

    def hash(self, password: str) -> str:
        self.begun.append(password)
        assert self._held.acquire(timeout=60)
        return f"hash of {password}"

    def verify(self, stored: str, password: str) -> bool:
        raise NotImplementedError

    def check_needs_rehash(self, stored: str) -> bool:
        raise NotImplementedError

    def allow(self, hashes: int) -> None:
        self._held.release(hashes)


@pytest.fixture
def hasher() -> HeldHasher:
    return HeldHasher()


@pytest.fixture
def held(hasher: HeldHasher) -> Iterator[Passwords]:
    """Return a hasher with one thread and room for two that wait."""
    with Passwords(threads=1, waiting=2, seconds=60, hasher=hasher) as passwords:
        yield passwords
        hasher.allow(100)


async def begun(hasher: HeldHasher, *expected: str) -> None:
    async with asyncio.timeout(30):
        while True:
            if hasher.begun == list(expected):
                return
            await asyncio.sleep(0.001)


async def test_a_request_that_finds_the_queue_full_is_refused_at_once_and_those_in_it_are_served(
    held: Passwords, hasher: HeldHasher
):
    first = [asyncio.create_task(held.hash(password)) for password in "abc"]
    await begun(hasher, "a")

    with pytest.raises(PasswordsBusy) as refused:
        await held.hash("d")
    assert refused.value.retry_after >= 1
    with pytest.raises(PasswordsBusy):
        held.check_room()

    hasher.allow(1)
    await begun(hasher, "a", "b")
    held.check_room()
    last = asyncio.create_task(held.hash("e"))
    hasher.allow(3)
    assert await asyncio.gather(*first, last) == [f"hash of {password}" for password in "abce"]


async def test_what_is_cancelled_in_the_queue_is_never_hashed_and_leaves_its_place(
    held: Passwords, hasher: HeldHasher
):
    first = asyncio.create_task(held.hash("a"))
    gone = [asyncio.create_task(held.hash(password)) for password in "bc"]
    await begun(hasher, "a")
    for one in gone:
        one.cancel()
    await asyncio.wait(gone)

    last = asyncio.create_task(held.hash("d"))
    hasher.allow(2)
    assert [await first, await last] == ["hash of a", "hash of d"]
    assert hasher.begun == ["a", "d"]


async def test_a_deadline_that_passes_in_the_queue_leaves_the_password_unhashed(
    held: Passwords, hasher: HeldHasher
):
    async def bounded() -> None:
        async with Deadline(seconds=0.05):
            await held.hash("late")

    first = asyncio.create_task(held.hash("a"))
    await begun(hasher, "a")
    with pytest.raises(TimeoutError):
        await bounded()
    hasher.allow(1)
    await first
    assert hasher.begun == ["a"]


async def test_a_deadline_that_has_passed_before_leaves_the_password_unhashed(
    held: Passwords, hasher: HeldHasher
):
    async def bounded() -> None:
        async with Deadline(seconds=0):
            await held.hash("late")

    with pytest.raises(DeadlineExceeded):
        await bounded()
    assert hasher.begun == []


async def test_the_next_begins_only_when_the_thread_is_done_with_one_that_was_cancelled(
    held: Passwords, hasher: HeldHasher
):
    first = asyncio.create_task(held.hash("a"))
    await begun(hasher, "a")
    first.cancel()
    await asyncio.wait([first])
    rest = [asyncio.create_task(held.hash(password)) for password in "bc"]
    await asyncio.sleep(0)
    with pytest.raises(PasswordsBusy):
        await held.hash("d")  # "a" still has the thread, so two wait
    hasher.allow(3)
    assert await asyncio.gather(*rest) == ["hash of b", "hash of c"]


async def test_a_password_whose_turn_comes_too_late_is_refused_and_never_hashed(hasher: HeldHasher):
    with Passwords(threads=1, seconds=0.01, hasher=hasher) as passwords:
        first = asyncio.create_task(passwords.hash("a"))
        await begun(hasher, "a")
        with pytest.raises(PasswordsBusy):
            await passwords.hash("b")
        hasher.allow(2)
        assert await first == "hash of a"
        assert await passwords.hash("c") == "hash of c"
    assert hasher.begun == ["a", "c"]


class BrokenHasher(WatchedHasher):
    """Fails once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_fail = threading.Event(), threading.Event()

    def hash(self, password: str) -> str:  # noqa: ARG002 - it fails with each
        self.begun.set()
        self.may_fail.wait(10)
        message = "no memory"
        raise MemoryError(message)


async def test_between_a_cancellation_and_the_end_of_its_hash_an_error_is_nobodys():
    hasher = BrokenHasher()
    with Passwords(threads=1, hasher=hasher) as passwords:
        hashing = asyncio.create_task(passwords.hash("x"))
        await asyncio.to_thread(hasher.begun.wait, 10)
        hashing.cancel()
        await asyncio.wait([hashing])
        assert hashing.cancelled()
        hasher.may_fail.set()
        following = asyncio.create_task(passwords.hash("y"))  # its turn comes after the error
        with pytest.raises(MemoryError):
            await following
