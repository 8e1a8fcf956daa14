"""Status checks the processes in the record, and says `stopped` if their supervisor is gone."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from slipway.local.figures import Figures, figures_of
from slipway.local.probe import get_here
from slipway.local.status import Row, Status, as_tables, memory_pss, read_status, read_status_at
from slipway.state import Entry, Record, StateDirectory

METRICS = """
process_release{version="1.2.3"} 1
outbox_backlog_rows 7
outbox_oldest_row_age_seconds 3.5
consumer_lag_messages{topic="a"} 2
consumer_lag_messages{topic="b"} 3
consumer_lag_seconds{topic="a"} 1
consumer_lag_seconds{topic="b"} 9
parked_messages{state="retrying"} 4
parked_messages{state="dead"} 1
parked_messages{state="unknown"} 1
jobs_dead{queue="q"} 0
gateway_upstream_breaker_state{service="orders"} 2
gateway_upstream_breaker_state{service="users"} 0
gateway_rate_limits_local 1
# TYPE gateway_bulkhead_refusals_total counter
gateway_bulkhead_refusals_total{bulkhead="log-in"} 5
# TYPE gateway_rate_limit_refusals_total counter
gateway_rate_limit_refusals_total{limit="default"} 6
gateway_rate_limit_refusals_total{limit="login"} 0
"""


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path)
    state.make()
    return state


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Return a process's internal port: `/ready` returns 200, any other path an error."""
    refused = b'{"status": "ok", "parts": {"database": "refused: wrong password", "x": "ok"}}'

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if b"/metrics" in line:
            text = METRICS.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
            writer.close()
            return
        status = b"200 OK" if b"/ready" in line else b"503 Unavailable"
        body = refused if b"/ready/refused" in line else b"body"
        writer.write(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def record(*, create_time: float, port: int, ready: bool = True) -> Record:
    base = f"http://127.0.0.1:{port}"
    me = os.getpid()
    return Record(
        pid=me,
        create_time=create_time,
        gateway_url=base,
        traces_url=base,
        ready_at=datetime.now(UTC) if ready else None,
        processes=(
            Entry(name="well", pid=me, address=base, ready_url=f"{base}/ready"),
            Entry(name="ill", pid=me, address=base, ready_url=f"{base}/other"),
            Entry(name="refused", pid=me, address=base, ready_url=f"{base}/ready/refused"),
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
    well, ill, refused, away = status.processes
    assert (well.health, well.pid, well.address) == ("ok", os.getpid(), f"http://127.0.0.1:{port}")
    assert "answered 503 body" in ill.health
    assert refused.health == "database refused: wrong password"
    assert away.health == "not running"
    assert [row.health == "ok" for row in status.servers] == [True, False]
    assert well.memory_pss_bytes is not None
    assert well.memory_pss_bytes > 1_000_000
    assert status.supervisor is not None
    console = Console(width=200, record=True, quiet=True)
    console.print(as_tables(status))

    well_only = status.model_copy(update={"processes": [well], "servers": status.servers[:1]})
    assert well_only.healthy


async def test_a_system_that_starts_is_not_healthy_yet(state: StateDirectory, port: int) -> None:
    now = psutil.Process().create_time()
    state.write(record(create_time=now, port=port, ready=False))
    status = await read_status(state)
    assert (status.state, status.healthy) == ("starting", False)


@pytest.mark.parametrize(("ready", "shown"), [(False, True), (True, False)])
async def test_an_error_of_the_start_is_shown_until_all_is_ready(
    state: StateDirectory, port: int, ready: bool, shown: bool
) -> None:
    state.logs.mkdir(parents=True, exist_ok=True)
    line = {"event": "no Kafka yet", "level": "error", "timestamp": "2026-01-02T03:04:05.000006Z"}
    (state.logs / "well.log").write_text(json.dumps(line))
    state.write(record(create_time=psutil.Process().create_time(), port=port, ready=ready))
    well = (await read_status(state)).processes[0]
    assert (well.last_error is not None) is shown


async def test_a_record_of_another_process_with_this_pid_is_old(state: StateDirectory) -> None:
    state.write(record(create_time=1.0, port=1))
    assert (await read_status(state)).state == "stopped"


async def test_without_a_record_nothing_runs(state: StateDirectory) -> None:
    assert (await read_status(state)).state == "stopped"
    state.write(record(create_time=psutil.Process().create_time(), port=1))
    state.clear()
    assert not (await read_status(state)).healthy


def test_the_memory_of_a_process_that_ended_is_unknown() -> None:
    assert memory_pss(None) is None
    assert memory_pss(2**22 - 1) is None


async def test_processes_elsewhere_show_what_waits_and_what_was_refused(port: int) -> None:
    address = f"http://127.0.0.1:{port}"
    status = await read_status_at({"gateway": address, "gone": "http://127.0.0.1:1"}, get_here)
    gateway, gone = status.processes
    assert gone.figures is None
    assert not status.healthy
    found = gateway.figures
    assert found is not None
    assert found.release == "1.2.3"
    assert (found.outbox_rows, found.outbox_age_seconds) == (7, 3.5)
    assert (found.lag_messages, found.lag_seconds) == (5, 9)
    assert (found.parked, found.dead, found.dead_jobs) == (4, 2, 0)
    assert found.breakers == {"orders": "open", "users": "closed"}
    assert found.limiter_store == "local"
    assert found.refusals == {
        "rate limit default": 6,
        "rate limit login": 0,
        "bulkhead log-in": 5,
    }
    written = io.StringIO()
    Console(width=200, file=written).print(as_tables(status))
    text = written.getvalue()
    assert "7, 4 s" in text
    assert "orders open" in text
    for limit in ("bulkhead log-in", "rate limit default", "rate limit login"):
        assert limit in text
    assert '"rate limit default":6' in status.model_dump_json()


def _row(name: str, **changes: object) -> Row:
    row = Row(
        name=name,
        pid=4_194_303,
        health="ok",
        address="http://127.0.0.1:50002",
        memory_pss_bytes=1_048_576_000,
    )
    return row.model_copy(update=changes)


def _shown(status: Status) -> list[str]:
    written = io.StringIO()
    Console(width=80, file=written).print(as_tables(status))
    return written.getvalue().splitlines()


def test_eighty_columns_show_each_process_on_one_line() -> None:
    waiting = Figures(
        release="0.1.0",
        outbox_rows=12345,
        outbox_age_seconds=67,
        lag_messages=0,
        parked=0,
        dead=0,
        dead_jobs=0,
    )
    states = {"users": "closed", "orders": "half-open", "notifications": "closed"}
    guards = Figures(release="0.1.0", breakers=states, limiter_store="ok")
    worker = _row("notifications-worker", figures=waiting, last_error="Kafka [Error 15] " * 9)
    shown = _shown(Status(state="running", processes=[_row("gateway", figures=guards), worker]))
    first = next(line for line in shown if "notifications-worker" in line)
    assert "4194303 │ ok" in first
    assert "http://127.0.0.1:50002" in first
    assert "1000 MiB" in first
    assert any("notifications-worker" in line and "12345, 67 s" in line for line in shown)
    assert any("Release 0.1.0" in line for line in shown)
    text = " ".join(shown)
    assert "notifications-worker, last error: Kafka [Error 15] Kafka" in text
    assert "rate limits: ok; breakers: users closed, orders half-open," in text
    assert not any("…" in line for line in shown)


def test_releases_that_differ_are_shown_beside_each_process() -> None:
    rows = [_row(f"orders-{each}", figures=Figures(release=each)) for each in ("1.0", "1.1")]
    shown = _shown(Status(state="running", processes=rows))
    assert any("orders-1.1" in line and "│ 1.1 " in line for line in shown)


def test_a_process_that_measures_nothing_has_no_figures() -> None:
    assert figures_of("") == Figures()
