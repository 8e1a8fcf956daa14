"""Stops what runs in the foreground: cleanly at the first signal, at once at the second."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def until_signal(
    work: Coroutine[Any, Any, None], *, say: Callable[[str], None], kill: Callable[[], None]
) -> bool:
    """Run `work`; the first signal cancels it, so that it can clean up.

    Args:
        work: cleans up when it is cancelled.
        say: called for each signal.
        kill: called at the second signal, to skip the clean-up.

    Returns:
        whether `work` completed.
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
