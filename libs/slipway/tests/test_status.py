"""Status is asked of what the record names, and says `stopped` when its supervisor is gone."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from slipway.state import Entry, Record, StateDirectory
from slipway.status import as_table, memory_pss, read_status


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path)
    state.make()
    return state


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Of a process's internal port: `/ready` is well, all else is not."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        status = b"200 OK" if b"/ready" in line else b"503 Unavailable"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\nbody")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def record(*, create_time: float, port: int) -> Record:
    base = f"http://127.0.0.1:{port}"
    me = os.getpid()
    return Record(
        pid=me,
        create_time=create_time,
        gateway_url=base,
        traces_url=base,
        processes=(
            Entry(name="well", pid=me, address=base, ready_url=f"{base}/ready"),
            Entry(name="ill", pid=me, address=base, ready_url=f"{base}/other"),
            Entry(name="away", pid=None, address=base, ready_url=base),
        ),
        servers=(
            Entry(name="postgres", pid=me, address=f"127.0.0.1:{port}"),
            Entry(name="kafka", pid=me, address="127.0.0.1:1"),
        ),
    )


async def test_each_part_is_asked(state: StateDirectory, port: int) -> None:
    state.write(record(create_time=psutil.Process().create_time(), port=port))
    status = await read_status(state)
    assert status.state == "running"
    assert not status.healthy
    well, ill, away = status.processes
    assert (well.health, well.pid, well.address) == ("ok", os.getpid(), f"http://127.0.0.1:{port}")
    assert "answered 503 body" in ill.health
    assert away.health == "not running"
    assert [row.health == "ok" for row in status.servers] == [True, False]
    assert well.memory_pss_bytes is not None
    assert well.memory_pss_bytes > 1_000_000
    assert status.supervisor is not None
    console = Console(width=200, record=True, quiet=True)
    console.print(as_table(status))

    well_only = status.model_copy(update={"processes": [well], "servers": status.servers[:1]})
    assert well_only.healthy


async def test_a_record_of_another_process_with_this_pid_is_old(state: StateDirectory) -> None:
    state.write(record(create_time=1.0, port=1))
    assert (await read_status(state)).state == "stopped"


async def test_without_a_record_nothing_runs(state: StateDirectory) -> None:
    assert (await read_status(state)).state == "stopped"
    state.write(record(create_time=psutil.Process().create_time(), port=1))
    state.clear()
    assert not (await read_status(state)).healthy


def test_the_memory_of_what_is_gone_is_unknown() -> None:
    assert memory_pss(None) is None
    assert memory_pss(2**22 - 1) is None
