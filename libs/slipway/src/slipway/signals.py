"""How a person stops what runs in the foreground: once in order, twice at once."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def until_signal(
    work: Coroutine[Any, Any, None], *, say: Callable[[str], None], kill: Callable[[], None]
) -> bool:
    """Do `work`; the first signal cancels it, and so lets it stop what it started.

    Args:
        work: cleans up when it is cancelled.
        say: told of each signal.
        kill: called at the second signal, when the clean-up is not to be waited for.

    Returns:
        whether `work` came to its end.
    """
    task = asyncio.ensure_future(work)
    came: list[int] = []

    def on_signal(number: int) -> None:
        came.append(number)
        name = signal.Signals(number).name
        if len(came) == 1:
            say(f"{name}: stopping everything in order; once more kills it")
            task.cancel()
        else:
            say(f"{name} again: killing everything")
            kill()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        await task
    except asyncio.CancelledError:
        if not came:
            raise
        return False
    else:
        return True
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
