"""Passwords: Argon2id (RFC 9106) on threads, with bounded concurrency and a bounded queue.

By default, parameters are OWASP's minimum: 19 MiB, two passes, one lane. A hash with others is
verified, too; ``needs_rehash`` reports it, so that the caller can replace it.
"""

import asyncio
import os
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from prometheus_client import CollectorRegistry

from chassis.auth.hashing import QUEUE_SECONDS, HashQueue, PasswordsBusy
from chassis.cancellation import result_of
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
        former: the parameters of hashes that are still stored. A wrong password costs a hash of
            each, whichever the account has; see ``verify``.
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
        former: Iterable[HashParameters] = (),
        hasher: Hasher | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        threads = threads or hash_threads()
        room = _WAITING_PER_THREAD * threads if waiting is None else waiting
        self.queue = HashQueue(turns=threads, waiting=room, seconds=seconds, registry=registry)
        self._hasher = hasher or parameters.hasher()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._nobodies = {one: _hash_of_nobody(one) for one in (parameters, *former)}

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

        A wrong password costs one hash with each set of parameters that stored hashes have: that of
        `stored` and, for the others, a hash that nobody has. If `stored` is None (the account does
        not exist), all are those of nobody. So neither the number of hashes nor their parameters,
        and thus not the duration, reveal which accounts exist or how old their hashes are.

        A set that is neither `parameters` nor in `former` is known once a hash with it was met.

        Raises:
            PasswordsBusy: the queue is full, or the wait exceeded its limit.
            DeadlineExceeded: the request's deadline has passed.
        """
        return await self._run(self._check, stored, password)

    def check_room(self) -> None:
        """Raise PasswordsBusy if the queue is full now.

        A caller with other work to do before the hash checks this first, to avoid wasted work.
        """
        self.queue.check_room()

    def needs_rehash(self, stored: str) -> bool:
        """Return whether `stored` was made with other parameters than the current ones."""
        return self._hasher.check_needs_rehash(stored)

    async def _run[T](self, work: Callable[..., T], *arguments: str | None) -> T:
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
        working.add_done_callback(self._done)
        return await result_of(working)

    def _done(self, working: "asyncio.Future[Any]") -> None:
        self.queue.end_turn()
        if not working.cancelled():
            working.exception()  # retrieved: of a caller that was cancelled, nobody else does it

    def _check(self, stored: str | None, password: str) -> bool:
        if stored is not None and self._verifies(stored, password):
            return True
        own = None if stored is None else _parameters_of(stored)
        if own is not None and own not in self._nobodies:
            self._nobodies[own] = _hash_of_nobody(own)
        for parameters, nobody in list(self._nobodies.items()):  # other threads may add one
            if parameters != own:
                self._verifies(nobody, password)
        return False

    def _verifies(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, ValueError):  # ValueError: not a hash, or not text
            return False


def _hash_of_nobody(parameters: HashParameters) -> str:
    """Return the hash of a password that nobody knows."""
    return parameters.hasher().hash(secrets.token_urlsafe())


def _parameters_of(stored: str) -> HashParameters | None:
    """Return the parameters of a hash; None if it is no hash of Argon2."""
    try:
        found = extract_parameters(stored)
    except (InvalidHashError, ValueError):
        return None
    return HashParameters(
        memory_kib=found.memory_cost, passes=found.time_cost, lanes=found.parallelism
    )
