"""Loads many objects with few requests."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping


class Loader[T]:
    """Collects the ids that resolvers ask for in one round of the loop, and loads them together.

    Each id is loaded once. Requests for more than `at_once` ids are sent in parallel. A request
    that fails makes the future of each of its ids fail.

    Args:
        load: loads some objects, and returns those that exist by their ids.
        at_once: the most ids of one request.
    """

    def __init__(
        self, load: Callable[[list[str]], Awaitable[Mapping[str, T]]], *, at_once: int
    ) -> None:
        self._load = load
        self._at_once = at_once
        self._known: dict[str, asyncio.Future[T | None]] = {}
        self._wanted: list[str] = []
        self._running: set[asyncio.Task[None]] = set()

    def load(self, key: str) -> asyncio.Future[T | None]:
        """Return the object with this id; None if there is none."""
        known = self._known.get(key)
        if known is None:
            loop = asyncio.get_running_loop()
            self._known[key] = known = loop.create_future()
            if not self._wanted:
                loop.call_soon(self._begin)
            self._wanted.append(key)
        return known

    def clear(self) -> None:
        """Forget all objects that are loaded."""
        self._known = {key: one for key, one in self._known.items() if not one.done()}

    def _begin(self) -> None:
        wanted, self._wanted = self._wanted, []
        for start in range(0, len(wanted), self._at_once):
            keys = wanted[start : start + self._at_once]
            places = {key: self._known[key] for key in keys}
            task = asyncio.create_task(self._fill(places))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _fill(self, places: Mapping[str, asyncio.Future[T | None]]) -> None:
        try:
            found = await self._load(list(places))
        except Exception as error:  # noqa: BLE001 - those who wait get it
            for place in places.values():
                if not place.done():
                    place.set_exception(error)
                    place.exception()  # marks it as retrieved: the operation may have ended
            return
        for key, place in places.items():
            if not place.done():
                place.set_result(found.get(key))
