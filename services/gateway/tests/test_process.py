import asyncio
import os
import sys
from contextlib import asynccontextmanager
from signal import SIGTERM

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.ended_sessions import SessionsEnded
from localservers.ports import free_port
from testkit.slow_import import process_while_importing
from testkit.tokens import ISSUER
from testkit.waiting import until


@pytest.fixture
async def environment(service, tokens, topics):
    """The settings of a gateway with neither Valkey nor any service but the tests' own."""
    await topics.create([SessionsEnded.topic.name], partitions=1)
    return {
        "PATH": os.environ["PATH"],
        "SETTINGS_FILE": os.devnull,
        "ENVIRONMENT": "development",
        "PORT": str(free_port()),
        "INTERNAL_PORT": str(free_port()),
        "USERS_URL": service.url,
        "ORDERS_URL": service.url,
        "NOTIFICATIONS_URL": service.url,
        "VALKEY_URL": "valkey://127.0.0.1:1/0",
        "KAFKA_BOOTSTRAP_SERVERS": topics.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": topics.prefix,
        "AUTH_ISSUER": ISSUER,
        "AUTH_JWKS_FILE": str(tokens.jwks_file),
    }


@asynccontextmanager
async def gateway_process(environment):
    """Run the gateway; once it is ready, yield the process and a client of it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=environment, stdout=asyncio.subprocess.PIPE
    )
    base = f"http://127.0.0.1:{environment['PORT']}"
    try:
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60) as http:
            async with asyncio.timeout(30):
                internal = f"http://127.0.0.1:{environment['INTERNAL_PORT']}"
                await ready(http, f"{internal}/healthz/ready", process)
            yield process, http
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ready(http, url, process):
    while True:
        try:
            if (await http.get(url)).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert process.returncode is None, "the process ended"
        await asyncio.sleep(0.05)


async def stopped(process):
    """Stop a process with SIGTERM; return its log."""
    process.send_signal(SIGTERM)
    async with asyncio.timeout(10):
        output, _ = await process.communicate()
    assert process.returncode == 0
    return output


async def test_the_process_starts_serves_without_valkey_and_stops_in_order(environment, bearer):
    async with gateway_process(environment) as (process, http):
        answer = await http.get("/api/v1/orders", headers=bearer)
        assert answer.status_code == 200
        metrics = f"http://127.0.0.1:{environment['INTERNAL_PORT']}/metrics"

        async def failed_to_count() -> bool:  # within 25 ms after the response
            text = (await http.get(metrics)).text
            return "gateway_rate_limit_store_failures_total 1.0" in text

        await until(failed_to_count)
        output = await stopped(process)
    assert b'"path": "/api/v1/orders"' in output
    assert bearer["Authorization"].split()[1].encode() not in output


async def test_it_is_ready_with_a_connection_to_each_service(environment):
    """The first request of each service need not wait for one."""
    opened = asyncio.Semaphore(0)

    async def count(reader, writer):
        opened.release()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(count, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        own = dict.fromkeys(("USERS_URL", "ORDERS_URL", "NOTIFICATIONS_URL"), url)
        async with gateway_process(environment | own) as (process, _), asyncio.timeout(1):
            for _ in own:
                await opened.acquire()
        assert process.returncode is not None


async def test_sigterm_drains_and_fails_nothing(environment, service):
    """Not ready; open requests end; kept connections get `close`; sockets are told to reconnect."""
    async with gateway_process(environment) as (process, http):
        ws = f"ws://127.0.0.1:{environment['PORT']}/api/v1/notifications/ws"
        internal = f"http://127.0.0.1:{environment['INTERNAL_PORT']}"
        async with connect(ws, proxy=None) as socket:
            await socket.send("x")
            assert await socket.recv() == "x"
            kept, writer = await asyncio.open_connection("127.0.0.1", environment["PORT"])
            request = b"GET /api/v1/products?drain HTTP/1.1\r\nHost: x\r\n\r\n"
            writer.write(request)
            first = await kept.readuntil(b"}")
            assert b"connection: close" not in first.lower()
            slow, slow_writer = await asyncio.open_connection("127.0.0.1", environment["PORT"])
            slow_writer.write(
                b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab"
            )
            await http.get("/api/v1/products")  # it was read after that
            process.send_signal(SIGTERM)
            async with asyncio.timeout(10):
                while (await http.get(f"{internal}/healthz/ready")).status_code == 200:
                    pass
                writer.write(request)
                last = await kept.read()
                slow_writer.write(b"cd")
                answer = await slow.read()
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                output, _ = await process.communicate()
        for each in (writer, slow_writer):
            each.close()
            await each.wait_closed()
        for response in (last, answer):
            assert response.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" in response.lower()
        assert b"abcd" in [seen.body for seen in service.requests]
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012, "service restart: reconnect"
        assert process.returncode == 0
        assert b'"level": "error"' not in output


async def test_its_responses_carry_the_common_fields_whoever_made_them(environment):
    settings = {"CORS_ALLOW_ORIGINS": "https://shop.example", "HSTS_MAX_AGE": "600"}
    async with gateway_process(environment | settings) as (process, http):
        for path, status in (("/api/v1/products", 200), ("/docs?" + "x" * 33_000, 414)):
            answer = await http.get(path, headers={"Origin": "https://shop.example"})
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == "https://shop.example"
            assert answer.headers["strict-transport-security"].startswith("max-age=600")
        await stopped(process)


@pytest.mark.parametrize("trusted", [False, True])
async def test_a_client_can_have_its_requests_recorded_only_where_it_is_trusted(
    environment, trusted
):
    exports = []

    async def collect(reader, writer):
        exports.append(await reader.readuntil(b"\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(collect, "127.0.0.1", 0) as server:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            "OTEL_TRACES_SAMPLER_ARG": "0",
            "TRUST_CLIENT_TRACES": str(trusted),
        }
        async with gateway_process(environment | settings) as (process, http):
            for number in range(10):
                parent = {"traceparent": f"00-{number + 1:032x}-{number + 1:016x}-01"}
                for path in ("/api/v1/products", "/docs", "/nothing"):
                    await http.get(path, headers=parent)
            await stopped(process)  # stopping sends the remaining spans
    assert bool(exports) == trusted


async def test_sigterm_during_the_imports_ends_the_gateway(tmp_path):
    process = await process_while_importing(tmp_path, "uvloop", "gateway")
    process.terminate()
    assert await process.wait() == 0
