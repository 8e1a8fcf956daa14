"""The time that `make up` takes until the system is ready, in a fresh clone and in a used one."""

import asyncio
import os
import shutil
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process, create_subprocess_exec
from collections import deque
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bench.machine import python_versions
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Ratio, Sample, take_turns
from bench.tools import find, output_of
from localservers.ports import free_port
from slipway.errors import SlipwayError
from slipway.settings import SlipwaySettings

TOOLS = ("git", "make")
COLD = "in a fresh clone"
WARM = "in a used clone"
_BARS = {COLD: 30.0, WARM: 12.0}
_SWEEPS = 3
_LIMIT_SECONDS = 300
_STOP_SECONDS = 60
_LINES = 15
_METHOD = f"""\
`make up` is run in a clone of this repository's last commit, on free ports, until it prints that
the system is ready; then it gets SIGINT, as from Ctrl-C. {COLD.capitalize()} it also installs uv
and all packages (which the user's caches hold), makes keys, sets up the servers, migrates and
seeds. {WARM.capitalize()} all of that is there already. Uncommitted changes don't take part."""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    tree = rig.state.path / "fresh"
    try:
        return await compare(rig, tree, replace(pace, sweeps=min(pace.sweeps, _SWEEPS), warm_up=0))
    finally:
        await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)


async def compare(rig: Rig, tree: Path, pace: Pace) -> Finding:
    """Measure cold and warm starts in turns; a warm one always follows a cold one's clone."""
    environment = _environment()

    async def cold(_: float) -> Sample:
        await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
        await output_of(find("git"), "clone", "--quiet", rig.root, tree)
        return await start(tree, environment)

    async def warm(_: float) -> Sample:
        return await start(tree, environment)

    samples = await take_turns({COLD: cold, WARM: warm}, pace, rig.reporter.say)
    return Finding(
        title="Starting the system",
        lines=[
            Line(
                what=f"`make up` {name}, until it is ready",
                measured=Ratio.of([sample.seconds for sample in samples[name]]),
                unit="s",
                bar=bar,
                plain=True,
                at_most=True,
            )
            for name, bar in _BARS.items()
        ],
        method=_METHOD,
        samples=samples,
        versions=python_versions("uvicorn"),
    )


def _environment() -> dict[str, str]:
    """Return this environment with free ports, and without this tree's virtual environment."""
    own = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    ports = [name for name in SlipwaySettings.model_fields if name.endswith("_port")]
    return own | {name.upper(): str(free_port()) for name in ports}


async def start(tree: Path, environment: dict[str, str]) -> Sample:
    """Run `make up` until the system is ready, then stop it.

    Raises:
        SlipwayError: it ended before, or was not ready within 300 s.
    """
    began = time.monotonic()
    process = await create_subprocess_exec(
        *(find("make"), "-C", tree, "up"),
        env=environment,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        start_new_session=True,
    )
    try:
        if process.stdout is None:
            raise AssertionError
        await _until_ready(process.stdout)
        seconds = time.monotonic() - began
    finally:
        await _stop(process)
    return Sample(operations=1, seconds=seconds)


async def _stop(process: Process) -> None:
    """Send SIGINT to the group, as a terminal does; SIGKILL after a limit.

    What the supervisor leaves behind after that, the next start in its directory ends.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def _until_ready(output: asyncio.StreamReader) -> None:
    last: deque[str] = deque(maxlen=_LINES)
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            while line := (await output.readline()).decode(errors="replace"):
                if line.startswith("Ready in"):
                    return
                last.append(line)
        reason = "ended before the system was ready"
    except TimeoutError:
        reason = f"was not ready within {_LIMIT_SECONDS} s"
    message = f"`make up` {reason}. Its output ends:\n{''.join(last)}"
    raise SlipwayError(message)
