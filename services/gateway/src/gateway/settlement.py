"""Settles the counts of this process with those of the store, in one call for many keys."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from valkey.asyncio import Valkey
from valkey.exceptions import NoScriptError, ValkeyError

from chassis.cancellation import StrayCancellationError, guarded
from gateway.counts import SCRIPT, StoreCount, counts_of

PERIOD_SECONDS = 0.025
"""How long a count may wait for its settlement."""
_SOONEST_SECONDS = 0.005  # new keys do not wait for the period; this bounds the calls for them


@dataclass(slots=True)  # frozen, it would take three times as long to make
class Entry:
    """A count to add in the store.

    Attributes:
        key: the key in the store.
        seconds: the width of its window.
        add: the number to add.
        limit: the count that may not be exceeded; -1 for none.
    """

    key: str
    seconds: int
    add: int
    limit: int = -1


class Store(Protocol):
    """Adds counts."""

    async def add(self, entries: Sequence[Entry]) -> list[StoreCount]:
        """Add the counts, and return what the store knows then.

        Raises:
            OSError: the store is unavailable.
            ValkeyError: likewise.
        """


class ValkeyStore:
    """Adds counts in Valkey, with one script for all keys of a call.

    Args:
        client: the client of Valkey.
    """

    def __init__(self, client: Valkey) -> None:
        self._client = client
        self._sha = ""

    async def add(self, entries: Sequence[Entry]) -> list[StoreCount]:
        """Add the counts; see `Store`."""
        numbers = [f"{entry.seconds} {entry.add} {entry.limit}" for entry in entries]
        arguments = [*(entry.key for entry in entries), " ".join(numbers)]
        if not self._sha:
            self._sha = await self._client.script_load(SCRIPT)
        try:
            answer = await self._client.evalsha(self._sha, len(entries), *arguments)  # type: ignore[misc]  # typed for both kinds of client
        except NoScriptError:  # Valkey has restarted and lost its scripts
            self._sha = await self._client.script_load(SCRIPT)
            answer = await self._client.evalsha(self._sha, len(entries), *arguments)  # type: ignore[misc]  # likewise
        return counts_of(answer)


class Settlement:
    """Calls the store: at most one call at a time, and one for all counts that wait.

    Args:
        store: adds the counts.
        entries: returns the entries that wait.
        settled: gets the entries of a call and the store's counts.
        failed: gets the entries of a call that failed, and the failure.
    """

    def __init__(
        self,
        store: Store,
        *,
        entries: Callable[[], Sequence[Entry]],
        settled: Callable[[Sequence[Entry], Sequence[StoreCount]], None],
        failed: Callable[[Sequence[Entry], Exception], None],
    ) -> None:
        self._store = store
        self._entries = entries
        self._settled = settled
        self._failed = failed
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0

    def due(self, *, soon: bool = False) -> None:
        """Settle within the period; `soon`: as soon as it does no harm."""
        if self._task is not None:
            return
        loop = asyncio.get_running_loop()
        wait = _SOONEST_SECONDS if soon else PERIOD_SECONDS
        at = max(self._began + wait, loop.time()) if soon else loop.time() + wait
        if self._timer is not None:
            if self._due_at <= at:
                return
            self._timer.cancel()
        self._due_at = at  # uvloop's handles do not tell it
        self._timer = loop.call_at(at, self._call)

    def _call(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        entries = self._entries()
        if entries:
            self._began = loop.time()
            self._task = loop.create_task(self._settle(entries))

    async def _settle(self, entries: Sequence[Entry]) -> None:
        try:
            counts = await guarded(self._store.add(entries))
        except (ValkeyError, OSError, ValueError, StrayCancellationError) as error:
            self._task = None
            self._failed(entries, error)
        else:
            self._task = None
            self._settled(entries, counts)

    async def close(self) -> None:
        """End the call that is running."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
