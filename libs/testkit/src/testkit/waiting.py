"""Waiting by polling, for a state of another process, a server or a socket."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

_LOOK_SECONDS = 0.01


async def until(condition: Callable[[], Awaitable[bool] | bool], *, seconds: float = 30.0) -> None:
    """Return once `condition` holds.

    Args:
        condition: the check; a function or a coroutine function.
        seconds: the time after which TimeoutError is raised.
    """
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if await holds if inspect.isawaitable(holds) else holds:
                return
            await asyncio.sleep(_LOOK_SECONDS)
