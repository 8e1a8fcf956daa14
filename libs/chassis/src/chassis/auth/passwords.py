"""Passwords: Argon2id (RFC 9106), off the event loop, with bounded concurrency.

Parameters are OWASP's minimum: 19 MiB, two passes, one lane. A hash of older parameters is still
verified, and reported so that the caller can replace it.
"""

import asyncio
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

_MEMORY_KIB = 19_456
_PASSES = 2
_LANES = 1


class Passwords:
    """Hashes and verifies on threads of its own: one fewer than cores, so the loop keeps one."""

    def __init__(self, *, threads: int | None = None) -> None:
        self._hasher = PasswordHasher(
            time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES
        )
        self._threads = ThreadPoolExecutor(
            threads or max(1, (os.cpu_count() or 2) - 1), thread_name_prefix="argon2"
        )
        self._nobody = self._hasher.hash(secrets.token_urlsafe())

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
        """Hash `password`; the answer is in PHC string form."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._hasher.hash, password)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Say whether `password` is the one that was hashed.

        With None for `stored`, an account that does not exist, it takes the same time and says no.
        """
        loop = asyncio.get_running_loop()
        good = await loop.run_in_executor(
            self._threads, self._check, self._nobody if stored is None else stored, password
        )
        return good and stored is not None

    def needs_rehash(self, stored: str) -> bool:
        """Say whether `stored` was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _check(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, ValueError):  # also what is no hash, or not text
            return False
