"""How a process starts, is watched, and ends: as a real child process, with real signals."""

import asyncio
import gzip
import signal
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

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
    # Its response shows that the previous request has arrived too.
    await http.post(f"{probe.public}/size", content=b"abc")
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


async def test_a_process_serves_and_ends_in_order_although_its_log_takes_no_lines(
    start_probe: Start, http: httpx.AsyncClient
):
    probe = await start_probe("good")
    await probe.listening()
    probe.process._transport.get_pipe_transport(1).close()  # what reads the log has ended
    for _ in range(2):
        answer = await http.post(f"{probe.public}/size", content=b"abc")
        assert answer.json() == {"size": 3}
    probe.stop()
    assert await probe.status() == 0


async def test_a_process_listens_on_all_addresses_of_both_families(
    start_probe: Start, http: httpx.AsyncClient
):
    # As in a pod, whose address is of IPv4 or of IPv6.
    probe = await start_probe("good", HOST="*", INTERNAL_HOST="*")
    await probe.listening()
    for address in ("127.0.0.1", "[::1]"):
        ready = await http.get(f"http://{address}:{probe.internal_port}/healthz/ready")
        assert ready.status_code == 200
        answer = await http.post(f"http://{address}:{probe.port}/size", content=b"abc")
        assert answer.json() == {"size": 3}
    probe.stop()
    assert await probe.status() == 0


async def draining(probe: Any, http: httpx.AsyncClient) -> None:
    """Send SIGTERM, and wait until the process has noticed it."""
    probe.stop()
    while (await http.get(f"{probe.internal}/healthz/ready")).status_code == 200:
        pass


async def test_between_sigterm_and_the_end_a_kept_connection_gets_a_last_response(
    start_probe: Start, http: httpx.AsyncClient
):
    """If its connection just closed, the client could not know whether its request took effect."""
    probe = await start_probe("good")
    await probe.listening()
    request = b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
    reader, writer = await asyncio.open_connection("127.0.0.1", probe.port)
    writer.write(request)
    first = await reader.readuntil(b'{"size":2}')
    assert b"connection: close" not in first.lower()

    await draining(probe, http)
    writer.write(request)
    last = await reader.read()  # until the connection ends
    writer.close()
    assert last.startswith(b"HTTP/1.1 200")
    assert b"connection: close\r\n" in last.lower()
    assert last.endswith(b'{"size":2}')
    assert await probe.status() == 0


async def test_a_request_that_comes_while_a_draining_process_gets_no_cpu_time_is_responded_to(
    start_probe: Start, http: httpx.AsyncClient
):
    """The longest wait ends while it does not run; the request is in the socket by then."""
    probe = await start_probe("good")
    await probe.listening()
    request = b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
    reader, writer = await asyncio.open_connection("127.0.0.1", probe.port)
    writer.write(request)
    await reader.readuntil(b'{"size":2}')
    await draining(probe, http)
    probe.process.send_signal(signal.SIGSTOP)
    writer.write(request)
    await asyncio.sleep(1.5)  # longer than it would wait
    probe.process.send_signal(signal.SIGCONT)
    last = await reader.read()
    writer.close()
    assert last.endswith(b'{"size":2}')
    assert await probe.status() == 0


async def test_the_response_to_a_request_that_was_open_at_sigterm_closes_its_connection(
    start_probe: Start, http: httpx.AsyncClient
):
    probe = await start_probe("good")
    await probe.listening()
    reader, writer = await asyncio.open_connection("127.0.0.1", probe.port)
    writer.write(b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
    # Its response shows that the previous request has arrived too.
    await http.post(f"{probe.public}/size", content=b"abc")
    await draining(probe, http)
    writer.write(b"b")
    last = await reader.read()
    writer.close()
    assert b"connection: close\r\n" in last.lower()
    assert last.endswith(b'{"size":2}')


async def test_a_connection_that_stays_idle_keeps_no_process_from_ending(start_probe: Start):
    probe = await start_probe("good")
    await probe.listening()
    reader, writer = await asyncio.open_connection("127.0.0.1", probe.port)
    probe.stop()
    assert await reader.read() == b""
    writer.close()
    assert await probe.status() == 0


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
    line = await probe.log_line("long-lived task failed")
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
    await probe.log_line("opened")
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
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
    open_metrics = await http.get(f"{probe.internal}/metrics", headers={"Accept": accept})
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")
    assert (await http.get(f"{probe.internal}/log-level")).json()["level"] == "INFO"
    assert (await http.get(f"{probe.public}/log-level")).status_code == 404
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


@pytest.mark.parametrize("exempted", ["", "corp.example", "127.0.0.2"])
async def test_spans_for_a_collector_on_this_machine_pass_by_a_proxy(
    start_probe: Start, http: httpx.AsyncClient, exempted: str
):
    """The exporter obeys proxy settings, but a proxy can't reach this machine's loopback."""
    posted: asyncio.Queue[str] = asyncio.Queue()

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await posted.put((await reader.readline()).decode())
        writer.close()

    server = await asyncio.start_server(collect, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        dead = "http://127.0.0.1:9"
        probe = await start_probe(
            "good",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_TRACES_SAMPLER_ARG="1",
            **dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), dead),
            NO_PROXY=exempted,
            no_proxy="",
        )
        await probe.listening()
        await http.post(f"{probe.public}/size", content=b"abc")
        async with asyncio.timeout(30):
            assert await posted.get() == "POST /v1/traces HTTP/1.1\r\n"


async def test_metrics_are_pushed_until_the_end_and_a_restart_is_known_by_its_start(
    start_probe: Start, http: httpx.AsyncClient
):
    pushed: asyncio.Queue[ExportMetricsServiceRequest] = asyncio.Queue()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split()[0])
        body = gzip.decompress(await reader.readexactly(length))
        pushed.put_nowait(ExportMetricsServiceRequest.FromString(body))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def last_push() -> tuple[str, int]:
        probe = await start_probe(
            "good",
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"http://127.0.0.1:{port}/v1/metrics",
            OTEL_METRIC_EXPORT_INTERVAL="3600000",
        )
        await probe.listening()
        assert "telemetry_pushes_total" in (await http.get(f"{probe.internal}/metrics")).text
        probe.stop()
        assert await probe.status() == 0
        (push,) = pushed.get_nowait().resource_metrics
        names = {one.key: one.value.string_value for one in push.resource.attributes}
        counters = {one.name: one.sum.data_points for one in push.scope_metrics[0].metrics}
        (point,) = counters["process_cpu_seconds_total"]
        return names["service.name"], point.start_time_unix_nano

    async with await asyncio.start_server(receive, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        (first, began), (second, began_again) = await last_push(), await last_push()
    assert (first, second) == ("probe", "probe")
    assert began < began_again
