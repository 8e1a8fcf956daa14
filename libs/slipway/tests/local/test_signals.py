"""SIGTERM stops in order and leaves no orphan; after `kill -9`, the next start cleans up."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

SCRIPT = Path(__file__).with_name("supervised.py")

SERVER = """
import signal, time
def stop(*_):
    print('asked', flush=True); open('order', 'a').write('NAME '); raise SystemExit
signal.signal(signal.SIGTERM, stop)
print('runs', flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
time.sleep(600)
"""


class Supervised:
    """The script, its lines, and the pids that it printed."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def until(self, text: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while True:
                line = (await self.process.stdout.readline()).decode()
                assert line, f"ended before {text!r}: {self.lines}"
                self.lines.append(line.rstrip("\n"))
                if text in line:
                    return

    def pid(self, name: str) -> int:
        line = next(line for line in reversed(self.lines) if line.startswith(f"{name} "))
        return int(line.split()[1])


type Start = Callable[..., contextlib.AbstractAsyncContextManager[Supervised]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    @contextlib.asynccontextmanager
    async def supervised(*parts: str, stop_limit: float = 10) -> AsyncIterator[Supervised]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SCRIPT),
            str(tmp_path),
            *parts,
            stdout=PIPE,
            stderr=STDOUT,
            env={**os.environ, "STOP_LIMIT": str(stop_limit)},
        )
        try:
            yield Supervised(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.communicate()

    return supervised


def server(name: str, tier: int) -> str:
    return f"{name}:{tier}:{SERVER.replace('NAME', name)}"


async def log_says(path: Path, text: str) -> None:
    async with asyncio.timeout(20):
        while True:
            if await asyncio.to_thread(lambda: path.exists() and text in path.read_text()):
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_stops_all_in_order(start: Start, tmp_path: Path, number: int) -> None:
    async with start(server("base", 0), server("top", 2), server("middle", 1)) as supervised:
        await supervised.until("ready")
        pids = [supervised.pid(name) for name in ("base", "middle", "top")]
        for name in ("base", "middle", "top"):
            await log_says(tmp_path / "logs" / f"{name}.log", "runs")
        supervised.process.send_signal(number)
        await supervised.until("stopped")
        assert await supervised.process.wait() == 0
    assert (tmp_path / "order").read_text().split() == ["top", "middle", "base"]
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert list((tmp_path / "run").iterdir()) == []


async def test_a_child_that_ignores_sigterm_is_killed_with_its_children(
    start: Start, tmp_path: Path
) -> None:
    del tmp_path
    async with start(f"stubborn:0:{STUBBORN}", stop_limit=0.5) as supervised:
        await supervised.until("ready")
        family = await grown(supervised.pid("stubborn"))
        supervised.process.terminate()
        await supervised.until("did not stop within 0.5 s of SIGTERM: killing it with SIGKILL")
        await supervised.until("stopped")
    assert not any(alive(process) for process in family)


async def test_a_second_signal_does_not_wait(start: Start) -> None:
    async with start(f"stubborn:0:{STUBBORN}", stop_limit=300) as supervised:
        await supervised.until("ready")
        family = await grown(supervised.pid("stubborn"))
        supervised.process.send_signal(signal.SIGINT)
        await supervised.until("SIGINT: stopping")
        supervised.process.send_signal(signal.SIGINT)
        await supervised.until("SIGINT again: killing everything")
        await supervised.until("stopped")
    assert not any(alive(process) for process in family)


async def test_after_kill_9_the_next_start_cleans_up(start: Start) -> None:
    async with start(server("one", 0), server("two", 0)) as first:
        await first.until("ready")
        left = [psutil.Process(first.pid(name)) for name in ("one", "two")]
        first.process.kill()
        await first.process.wait()
        assert all(alive(process) for process in left)
        async with start(server("one", 0)) as second:
            await second.until("Ending what the last run left: one, two")
            await second.until("ready")
            assert not any(alive(process) for process in left)


async def test_a_second_one_is_refused(start: Start) -> None:
    async with start(server("one", 0)) as first:
        await first.until("ready")
        async with start(server("one", 0)) as second:
            await second.until("AlreadyRunningError")
            assert await second.process.wait() == 1
        assert psutil.pid_exists(first.pid("one"))


async def grown(pid: int) -> list[psutil.Process]:
    """Return the process and its child, once the child runs."""
    process = psutil.Process(pid)
    async with asyncio.timeout(20):
        while True:
            if children := process.children():
                return [process, *children]
            await asyncio.sleep(0.02)


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
