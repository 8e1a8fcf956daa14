"""Parent processes that tests can kill, and checks of the processes that these leave behind."""

import asyncio
import sys

import psutil
import pytest

_PARENT = """
import asyncio, sys
from pathlib import Path
from localservers import {kind}

async def main():
    server = {kind}(directory=Path({directory!r}), port={port}{more})
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def orphan():
    """Start a server in a process that is then killed with SIGKILL; return the server's pid."""

    async def start(kind: str, *, directory, port: int, more: str = "") -> int:
        program = _PARENT.format(kind=kind, directory=str(directory), port=port, more=more)
        parent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program), stdout=asyncio.subprocess.PIPE
        )
        assert parent.stdout is not None
        pid = int(await parent.stdout.readline())
        parent.kill()
        await parent.wait()
        return pid

    return start


@pytest.fixture
def ended():
    """Return whether a process has ended, even if no parent has waited for it yet."""

    def look(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return look
