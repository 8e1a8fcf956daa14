"""Work for one client, which ends when the client disconnects."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive

from gateway.errors import ClientGone


async def unless_gone[T](work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """Return the outcome of `work`, or cancel it and raise ClientGone if the client disconnects."""
    running = asyncio.create_task(work)
    gone = asyncio.create_task(until_gone(receive))
    try:
        await asyncio.wait((running, gone), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        raise ClientGone
    finally:
        running.cancel()
        gone.cancel()
        await asyncio.wait((running, gone))


async def until_gone(receive: Receive) -> None:
    """Wait until the client disconnects; what it sends until then is discarded."""
    while (await receive())["type"] != "http.disconnect":
        pass
