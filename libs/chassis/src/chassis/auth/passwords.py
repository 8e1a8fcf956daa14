"""Passwords: Argon2id (RFC 9106) on threads, with bounded concurrency and a bounded queue.

By default, parameters are OWASP's minimum: 19 MiB, two passes, one lane. A hash with others is
verified, too; ``needs_rehash`` reports it, so that the caller can replace it.
"""

import asyncio
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from prometheus_client import CollectorRegistry

from chassis.auth.hashing import QUEUE_SECONDS, HashQueue, PasswordsBusy
from chassis.deadline import check_deadline

__all__ = ["HashParameters", "Hasher", "Passwords", "PasswordsBusy"]

MIN_MEMORY_KIB = 19_456
MIN_PASSES = 2
"""OWASP's minimum for one lane."""

# At about 25 ms for each hash, the last in the queue waits 0.8 s, much less than any deadline.
_WAITING_PER_THREAD = 32


class Hasher(Protocol):
    """The hash function, called on a thread: argon2-cffi's PasswordHasher."""

    def hash(self, password: str, /) -> str:
        """Return the hash in PHC string form."""

    def verify(self, stored: str, password: str, /) -> bool:
        """Return True if `stored` is the hash of `password`, or raise VerificationError."""

    def check_needs_rehash(self, stored: str, /) -> bool:
        """Return whether `stored` was made with other parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HashParameters:
    """The parameters of Argon2id (RFC 9106 §3.1).

    Attributes:
        memory_kib: the memory of one hash, in KiB.
        passes: how often the memory is filled.
        lanes: how many threads one hash may use.
    """

    memory_kib: int = MIN_MEMORY_KIB
    passes: int = MIN_PASSES
    lanes: int = 1

    def hasher(self) -> Hasher:
        """Return Argon2id with these parameters."""
        return PasswordHasher(
            time_cost=self.passes, memory_cost=self.memory_kib, parallelism=self.lanes
        )


def hash_threads() -> int:
    """Return how many passwords are hashed at a time by default: one core is the event loop's."""
    return max(1, (os.cpu_count() or 2) - 1)


_USUAL = HashParameters()


class Passwords:
    """Hashes and verifies passwords on a thread pool of its own.

    By default the pool has one thread fewer than there are cores, which leaves one core for the
    event loop.

    Args:
        threads: how many passwords are hashed at a time.
        waiting: how many more may wait for their turn. A further one raises PasswordsBusy.
        seconds: how long each may wait for its turn.
        parameters: those of Argon2id. Hashes with others are verified, and ``needs_rehash`` reports
            them.
        hasher: the hash function; Argon2id with `parameters` by default.
        registry: where the queue's metrics are registered.

    Attributes:
        queue: the passwords that wait for their turn.
    """

    def __init__(
        self,
        *,
        threads: int | None = None,
        waiting: int | None = None,
        seconds: float = QUEUE_SECONDS,
        parameters: HashParameters = _USUAL,
        hasher: Hasher | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        threads = threads or hash_threads()
        room = _WAITING_PER_THREAD * threads if waiting is None else waiting
        self.queue = HashQueue(turns=threads, waiting=room, seconds=seconds, registry=registry)
        self._hasher = hasher or parameters.hasher()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._nobody = parameters.hasher().hash(secrets.token_urlsafe())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """Return the hash of `password` in PHC string form.

        Raises:
            PasswordsBusy: the queue is full, or the wait exceeded its limit.
            DeadlineExceeded: the request's deadline has passed.
        """
        return await self._run(self._hasher.hash, password)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Return whether `stored` is the hash of `password`.

        If `stored` is None (the account does not exist), return False after the same time, so that
        the duration does not reveal which accounts exist.

        Raises:
            PasswordsBusy: the queue is full, or the wait exceeded its limit.
            DeadlineExceeded: the request's deadline has passed.
        """
        good = await self._run(self._check, self._nobody if stored is None else stored, password)
        return good and stored is not None

    def check_room(self) -> None:
        """Raise PasswordsBusy if the queue is full now.

        A caller with other work to do before the hash checks this first, to avoid wasted work.
        """
        self.queue.check_room()

    def needs_rehash(self, stored: str) -> bool:
        """Return whether `stored` was made with other parameters than the current ones."""
        return self._hasher.check_needs_rehash(stored)

    async def _run[T](self, work: Callable[..., T], *arguments: str) -> T:
        """Return the result of `work`, run on a thread in its turn.

        If the caller is cancelled before its turn, `work` does not start.
        """
        check_deadline()
        await self.queue.take_turn()
        try:
            check_deadline()  # again: it may have passed during the wait in the queue
            loop = asyncio.get_running_loop()
            working = loop.run_in_executor(self._threads, work, *arguments)
        except BaseException:
            self.queue.end_turn()
            raise
        # A thread can't be cancelled, so the turn ends when the thread is done, even if the caller
        # was cancelled.
        working.add_done_callback(lambda _: self.queue.end_turn())
        return await asyncio.shield(working)

    def _check(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, ValueError):  # ValueError: not a hash, or not text
            return False
