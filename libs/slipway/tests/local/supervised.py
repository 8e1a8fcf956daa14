"""A supervisor for tests to kill: `supervised.py STATE_DIRECTORY NAME:TIER:PROGRAM …`.

It is a separate process, because the tests send it signals, SIGKILL included.
"""

import asyncio
import os
import sys
from pathlib import Path

from slipway.local.program import Program, ProgramSpec, end_leftovers
from slipway.local.signals import until_signal
from slipway.local.supervisor import supervising
from slipway.state import StateDirectory


def say(text: str) -> None:
    print(text, flush=True)  # the test reads it


async def changed() -> None:
    say("changed")


async def main(directory: Path, parts: list[str]) -> None:
    state = StateDirectory(directory)
    programs: list[tuple[int, Program]] = []
    for part in parts:
        name, tier, code = part.split(":", 2)
        spec = ProgramSpec(
            name=name,
            command=(sys.executable, "-u", "-c", code),
            environment=os.environ,
            directory=directory,
            stop_limit=float(os.environ["STOP_LIMIT"]),
        )
        programs.append((int(tier), Program(spec, state=state, say=say)))

    async def run() -> None:
        with state.lock():
            await end_leftovers(state, say)
            async with supervising(say=say, changed=changed) as supervisor:
                for tier, program in programs:
                    await supervisor.start(program, tier=tier)
                    say(f"{program.name} {program.pid}")
                say("ready")
                await asyncio.Event().wait()

    def kill() -> None:
        for _, program in programs:
            program.kill()

    await until_signal(run(), say=say, kill=kill)
    say("stopped")


asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
