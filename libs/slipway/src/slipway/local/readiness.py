"""Waits for a system that another terminal starts."""

import asyncio
import time

from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.local.status import OK, Status, read_status
from slipway.state import Record, StateDirectory

LIMIT_SECONDS = 300.0
"""The first start on a slow machine, with its servers to unpack, takes most of it."""

_LOOK_SECONDS = 0.5


async def until_ready(
    state: StateDirectory, reporter: Reporter, *, limit: float = LIMIT_SECONDS
) -> Record:
    """Wait until the system of this directory is ready; return its record.

    Args:
        state: the directory, in which a system starts or runs.
        reporter: shows what is still missing.
        limit: seconds to wait.

    Raises:
        SlipwayError: the system stopped, or was not ready in time.
    """
    began, shown = time.monotonic(), ""
    while True:
        record = await asyncio.to_thread(state.read)
        if record is not None and record.alive and record.ready:
            return record
        if not await asyncio.to_thread(state.is_held):
            message = "The system stopped before it was ready. See the terminal that started it."
            raise SlipwayError(message)
        missing = _missing(await read_status(state))
        if missing != shown:
            reporter.say(f"The system is starting: {missing}")
            shown = missing
        if time.monotonic() - began > limit:
            message = (
                f"The system was not ready within {limit:g} s: {missing}. See `slipway status`."
            )
            raise SlipwayError(message)
        await asyncio.sleep(_LOOK_SECONDS)


def _missing(status: Status) -> str:
    rows = [*status.servers, *status.processes]
    waiting = [row.name for row in rows if row.health != OK]
    if not rows:
        return "nothing runs yet"
    if not waiting:
        return "all parts are up; accounts and products are being added"
    return f"waiting for {', '.join(waiting)}"
