"""A command that needs a running system waits for one that starts, and names what is missing."""

import asyncio
import io
import os
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.local.readiness import until_ready
from slipway.state import Entry, Record, StateDirectory
from testkit.waiting import until


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path)


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def reporter(shown: io.StringIO) -> Reporter:
    return Reporter(Console(file=shown, width=200))


def record(*, ready: bool, processes: tuple[Entry, ...] = ()) -> Record:
    return Record(
        pid=os.getpid(),
        create_time=psutil.Process().create_time(),
        gateway_url="http://g",
        traces_url="http://t",
        ready_at=datetime.now(UTC) if ready else None,
        processes=processes,
    )


async def test_it_waits_from_before_the_first_record_until_the_seeds_are_in(
    state: StateDirectory, reporter: Reporter, shown: io.StringIO
) -> None:
    with state.lock():
        waiting = asyncio.create_task(until_ready(state, reporter))
        await until(lambda: "nothing runs yet" in shown.getvalue())
        entry = Entry(name="orders", pid=None, address="http://o", ready_url="http://o")
        state.write(record(ready=False, processes=(entry,)))
        await until(lambda: "waiting for orders" in shown.getvalue())
        state.write(record(ready=True))
        assert (await waiting).gateway_url == "http://g"


async def test_a_start_that_fails_ends_the_wait(state: StateDirectory, reporter: Reporter) -> None:
    with state.lock():
        waiting = asyncio.create_task(until_ready(state, reporter))
        await asyncio.sleep(0)
    with pytest.raises(SlipwayError, match="stopped before it was ready"):
        await waiting


async def test_the_wait_has_a_limit_and_says_what_was_missing(
    state: StateDirectory, reporter: Reporter
) -> None:
    with state.lock(), pytest.raises(SlipwayError, match="not ready within 0 s: nothing runs yet"):
        await until_ready(state, reporter, limit=0)
