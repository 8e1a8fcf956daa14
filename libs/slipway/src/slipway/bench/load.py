"""HTTP load by wrk: what is sent is written in Lua, what came back is read from its summary."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slipway.bench.rounds import Sample
from slipway.bench.tools import output_of
from slipway.errors import SlipwayError

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
        """Send, one request after the other on each connection; SlipwayError if one is refused."""


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
        """Put a script together: wrk takes one, and each of ours ends in the same summary."""
        script = self._directory / name
        script.write_text("\n".join((_LUA / part).read_text() for part in (name, "summary.lua")))
        return script


def on_core(core: int | None) -> tuple[str, ...]:
    """What goes before a command to keep it on one core."""
    return () if core is None else ("taskset", "--cpu-list", str(core))


def sample_of(output: str) -> Sample:
    """Read the summary; SlipwayError where any request failed."""
    results = [line for line in output.splitlines() if line.startswith(_RESULT)]
    if len(results) != 1:
        message = f"wrk gave no summary; it said:\n{output}"
        raise SlipwayError(message)
    result = json.loads(results[0].removeprefix(_RESULT))
    if result["errors"] or not result["requests"]:
        message = f"requests failed, so that nothing was measured; wrk said:\n{output}"
        raise SlipwayError(message)
    return Sample(
        operations=result["requests"],
        seconds=result["seconds"],
        p50=result["p50"],
        p99=result["p99"],
    )
