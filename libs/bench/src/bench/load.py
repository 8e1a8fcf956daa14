"""HTTP load by wrk: Lua scripts define the requests; wrk's summary has the results."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from bench.machine import cpu_seconds
from bench.rounds import Sample, Side
from bench.tools import output_of
from slipway.errors import SlipwayError
from slipway.local.program import Program

_RESULT = "RESULT "
_LUA = Path(__file__).parent / "lua"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """What is sent.

    Attributes:
        script: the Lua file in `lua/` that makes the requests.
        arguments: of its `init`.
    """

    script: str
    arguments: Sequence[str]


class Load(Protocol):
    """What sends requests for some seconds."""

    async def run(self, url: str, requests: Requests, *, clients: int, seconds: float) -> Sample:
        """Send requests one after the other on each connection; raise SlipwayError if one fails."""


def cpu_side(
    load: Load, url: str, requests: Callable[[], Requests], *programs: Program, clients: int
) -> Side:
    """Return a side that sends requests, and measures the CPU time of these programs.

    Args:
        load: sends the requests.
        url: where to.
        requests: returns those of the next round.
        programs: those that are measured.
        clients: how many connections send at a time.
    """

    async def run(seconds: float) -> Sample:
        wanted, before = requests(), cpu_seconds(*programs)
        sample = await load.run(url, wanted, clients=clients, seconds=seconds)
        return replace(sample, cpu=cpu_seconds(*programs) - before)

    return run


class Wrk:
    """wrk, with one thread.

    Args:
        program: where it is.
        directory: where the scripts are put together.
        core: the only one that it runs on; None: any.
    """

    def __init__(self, program: Path, directory: Path, *, core: int | None = None) -> None:
        self._directory = directory
        self._command = (*on_core(core), str(program))

    async def run(self, url: str, requests: Requests, *, clients: int, seconds: float) -> Sample:
        """Send for so many seconds."""
        script = await asyncio.to_thread(self._script, requests.script)
        command = (
            *self._command,
            "--threads=1",
            f"--connections={clients}",
            f"--duration={max(1, round(seconds))}s",
            "--timeout=10s",
            f"--script={script}",
            url,
            "--",
            *requests.arguments,
        )
        return sample_of(await output_of(*command))

    def _script(self, name: str) -> Path:
        """Join a script and the summary that all scripts share; wrk accepts one file."""
        script = self._directory / name
        script.write_text("\n".join((_LUA / part).read_text() for part in (name, "summary.lua")))
        return script


def on_core(core: int | None) -> tuple[str, ...]:
    """Return the command prefix that pins a command to one core."""
    return () if core is None else ("taskset", "--cpu-list", str(core))


def sample_of(output: str) -> Sample:
    """Return the sample of wrk's summary; raise SlipwayError if any request failed."""
    results = [line for line in output.splitlines() if line.startswith(_RESULT)]
    if len(results) != 1:
        message = f"wrk printed no summary. Its output:\n{output}"
        raise SlipwayError(message)
    result = json.loads(results[0].removeprefix(_RESULT))
    if result["errors"] or not result["requests"]:
        message = f"Requests failed, so nothing was measured. wrk's output:\n{output}"
        raise SlipwayError(message)
    return Sample(
        operations=result["requests"],
        seconds=result["seconds"],
        p50=result["p50"],
        p99=result["p99"],
    )
