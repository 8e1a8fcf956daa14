"""An event and a queue for objects that a process holds by the thousand.

An empty deque takes 760 bytes. `asyncio.Event` holds one of them, `asyncio.Queue` four: 3.8 KB for
each WebSocket that waits for its next message.
"""

import asyncio
from collections import deque
from typing import Literal


class LeanEvent:
    """An event as `asyncio.Event`. It holds memory for those that wait, only while they wait.

    Args:
        is_set: the state at first.
    """

    __slots__ = ("_is_set", "_waiting")

    def __init__(self, *, is_set: bool = False) -> None:
        self._is_set = is_set
        self._waiting: tuple[asyncio.Future[None], ...] = ()

    def is_set(self) -> bool:
        """Return the state."""
        return self._is_set

    def set(self) -> None:
        """Wake all that wait. From now on nobody waits, until `clear`."""
        self._is_set = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def clear(self) -> None:
        """Let those that call `wait` from now on wait for the next `set`."""
        self._is_set = False

    async def wait(self) -> Literal[True]:
        """Wait until the event is set."""
        if not self._is_set:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting = (*self._waiting, waiting)
            try:
                await waiting
            finally:
                self._waiting = tuple(one for one in self._waiting if one is not waiting)
        return True


class LeanQueue[Item]:
    """An unbounded queue for one consumer. It holds memory for items only while there are some."""

    __slots__ = ("_items", "_waiting")

    def __init__(self) -> None:
        self._items: deque[Item] | None = None
        self._waiting: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Return whether the queue has no item."""
        return self._items is None

    def put_nowait(self, item: Item) -> None:
        """Add an item, and wake the consumer."""
        if self._items is None:
            self._items = deque()
        self._items.append(item)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def get(self) -> Item:
        """Wait for the next item, remove it and return it.

        Raises:
            RuntimeError: another task waits already.
        """
        if self._waiting is not None:
            message = "Another task waits for the next item. A LeanQueue has one consumer."
            raise RuntimeError(message)
        while self._items is None:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        item = self._items.popleft()
        if not self._items:
            self._items = None
        return item
