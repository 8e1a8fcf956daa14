"""Loads many objects with few requests."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping


class Loader[T]:
    """Collects the ids that are asked for in one round of the loop, and loads them together.

    Each id is loaded once. Requests for more than `at_once` ids are sent in parallel. A request
    that fails fails for each of its ids.

    Args:
        load: loads some objects, and returns those that exist by their ids.
        at_once: the most ids of one request.

    Attributes:
        found: the objects that are loaded, by their ids; None for those that do not exist.
    """

    def __init__(
        self, load: Callable[[list[str]], Awaitable[Mapping[str, T]]], *, at_once: int
    ) -> None:
        self.found: dict[str, T | None] = {}
        self._load = load
        self._at_once = at_once
        self._requests: dict[str, asyncio.Task[None]] = {}
        self._wanted: list[str] = []
        self._next: asyncio.Task[None] | None = None

    async def load(self, key: str) -> T | None:
        """Return the object with this id; None if there is none."""
        request = self.request(key)
        # A caller that is cancelled must not cancel the request: others wait for it.
        await asyncio.wait((request,))
        request.result()
        return self.found[key]

    def request(self, key: str) -> asyncio.Task[None]:
        """Begin to load the object with this id. Return the request, which may be done."""
        known = self._requests.get(key)
        if known is None:
            if self._next is None or len(self._wanted) == self._at_once:
                self._wanted = []
                self._next = asyncio.create_task(self._fill(self._wanted))
                self._next.add_done_callback(_retrieve)
            self._wanted.append(key)
            self._requests[key] = known = self._next
        return known

    def clear(self) -> None:
        """Forget all objects that are loaded."""
        self.found = {}
        self._requests = {key: one for key, one in self._requests.items() if not one.done()}

    async def _fill(self, keys: list[str]) -> None:
        if keys is self._wanted:
            self._next = None  # those that are wanted from now on are another request
        found = await self._load(keys)
        self.found.update((key, found.get(key)) for key in keys)


def _retrieve(request: asyncio.Task[None]) -> None:
    """Mark the error of a request as retrieved: the operation may have ended before it."""
    if not request.cancelled():
        request.exception()
