"""The row of starts: the time from `make up` to its line that says so."""

import asyncio
import sys
from pathlib import Path

import pytest

from bench.start import start
from slipway.errors import SlipwayError

# The handler stands before the line that says "ready", or SIGINT could come before it. It is
# Python's, because a shell can't trap a signal that was ignored when it started, as in a job in the
# background of another shell.
READY = f"""\
up:
\t@exec {sys.executable} ready.py
"""
READY_PY = """\
import signal
import sys
from pathlib import Path


def stop(*_):
    Path("stopped").touch()
    sys.exit()


signal.signal(signal.SIGINT, stop)
print("Ready in 0.1 s", flush=True)
signal.pause()
"""
FAILED = """\
up:
\t@echo "port 8000 is taken"; exit 1
"""


async def test_a_start_lasts_until_it_is_ready_and_is_stopped_like_by_a_terminal(
    tmp_path: Path,
) -> None:
    await asyncio.to_thread((tmp_path / "Makefile").write_text, READY)
    await asyncio.to_thread((tmp_path / "ready.py").write_text, READY_PY)
    sample = await start(tmp_path, {"PATH": "/usr/bin:/bin"})
    assert (sample.operations, sample.seconds < 30) == (1, True)
    assert await asyncio.to_thread((tmp_path / "stopped").exists)


async def test_a_start_that_fails_ends_with_its_output(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "Makefile").write_text, FAILED)
    with pytest.raises(SlipwayError, match=r"(?s)ended before.*port 8000 is taken"):
        await start(tmp_path, {"PATH": "/usr/bin:/bin"})
