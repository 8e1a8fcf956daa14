"""How a process starts, is watched, and ends: as a real child, with real signals."""

import asyncio
import signal
from typing import Any

import httpx

type Start = Any  # StartProbe of conftest.py, which can't be imported
OPENED = [("opened", "first"), ("opened", "second")]


async def test_sigterm_lets_an_open_request_finish_and_ends_with_0(
    start_probe: Start, http: httpx.AsyncClient
):
    probe = await start_probe("good")
    await probe.listening()
    assert (await http.get(f"{probe.internal}/healthz/ready")).status_code == 200
    reader, writer = await asyncio.open_connection("127.0.0.1", probe.port)
    writer.write(b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
    await writer.drain()
    await http.post(f"{probe.public}/size", content=b"abc")  # so the one before has arrived too
    probe.stop()
    ready = await http.get(f"{probe.internal}/healthz/ready")
    while ready.status_code == 200:
        ready = await http.get(f"{probe.internal}/healthz/ready")
    assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
    assert (await http.get(f"{probe.internal}/healthz/live")).status_code == 200
    writer.write(b"cd")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b'{"size":4}')
    assert await probe.status() == 0
    assert [line for line in probe.lines if line.get("level") == "error"] == []


async def test_what_was_opened_is_closed_in_order_after_the_work_that_uses_it(start_probe: Start):
    probe = await start_probe("good")
    await probe.listening()
    probe.process.send_signal(signal.SIGINT)
    assert await probe.status() == 0
    parts = probe.parts()
    assert parts[:2] == OPENED
    closed = [name for event, name in parts if event == "closed"]
    assert closed.index("second") < closed.index("first")
    assert "long work" in closed


async def test_a_long_lived_task_that_fails_is_logged_and_ends_the_process_with_1(
    start_probe: Start, http: httpx.AsyncClient
):
    probe = await start_probe("good")
    await probe.listening()
    await http.post(f"{probe.public}/fail")
    assert await probe.status() == 1
    line = await probe.said("long-lived task failed")
    assert line["task"] == "work"
    assert line["exception"][0]["exc_value"] == "the work broke"
    assert ("closed", "first") in probe.parts()


async def test_a_start_that_fails_half_way_closes_what_was_opened_and_says_why(start_probe: Start):
    probe = await start_probe("bad-start")
    assert await probe.status() not in {0, None}
    assert probe.parts()[0] == ("opened", "first")
    assert ("closed", "first") in probe.parts()
    assert ("closed", "long work") in probe.parts()
    assert "the second part is away" in str(probe.lines)


async def test_sigterm_while_starting_ends_the_process(start_probe: Start):
    probe = await start_probe("slow-start")
    await probe.said("opened")
    probe.stop()
    await probe.status()
    assert ("closed", "first") in probe.parts()


async def test_readiness_waits_for_what_must_be_loaded(start_probe: Start, http: httpx.AsyncClient):
    probe = await start_probe("waits")
    await probe.listening()
    for path in ("ready", "startup"):
        answer = await http.get(f"{probe.internal}/healthz/{path}")
        assert answer.status_code == 503
        assert answer.json() == {"status": "waiting for the catalogue"}
    assert (await http.get(f"{probe.internal}/healthz/live")).status_code == 200
    await http.post(f"{probe.public}/load")
    assert (await http.get(f"{probe.internal}/healthz/ready")).status_code == 200


async def test_probes_and_metrics_are_on_the_internal_port_only(
    start_probe: Start, http: httpx.AsyncClient
):
    probe = await start_probe("good")
    await probe.listening()
    for path in ("/metrics", "/healthz/live", "/healthz/ready", "/healthz/startup"):
        assert (await http.get(probe.internal + path)).status_code == 200
        assert (await http.get(probe.public + path)).status_code == 404
    metrics = await http.get(f"{probe.internal}/metrics")
    assert "process_resident_memory_bytes" in metrics.text
    assert (await http.post(f"{probe.internal}/size")).status_code == 404


async def test_a_taken_port_ends_the_process_and_closes_what_was_opened(start_probe: Start):
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        probe = await start_probe("good", port=port)
        assert await probe.status() not in {0, None}
    assert "address already in use" in str(probe.lines)
    assert str(port) in str(probe.lines)
    opened = [name for event, name in probe.parts() if event == "opened"]
    closed = [name for event, name in probe.parts() if event == "closed"]
    assert set(opened) <= set(closed)
