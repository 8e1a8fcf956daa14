import asyncio
import os
import sys
from signal import SIGTERM

import httpx

from chassis.servers.base import free_port
from chassis.testing.tokens import ISSUER
from gateway.sessions import SessionsEnded


async def test_the_process_starts_serves_without_valkey_and_stops_in_order(
    service, tokens, bearer, topics
):
    await topics.create([SessionsEnded.topic.name], partitions=1)
    port, internal = free_port(), free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "SLIPWAY_ENV_FILE": os.devnull,
        "ENVIRONMENT": "development",
        "PORT": str(port),
        "INTERNAL_PORT": str(internal),
        "USERS_URL": service.url,
        "ORDERS_URL": service.url,
        "NOTIFICATIONS_URL": service.url,
        "VALKEY_URL": "valkey://127.0.0.1:1/0",
        "KAFKA_BOOTSTRAP_SERVERS": topics.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": topics.prefix,
        "AUTH_ISSUER": ISSUER,
        "AUTH_JWKS_FILE": str(tokens.jwks_file),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.app", env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(30):
            await ready(http, f"http://127.0.0.1:{internal}/healthz/ready", process)
            answer = await http.get(f"http://127.0.0.1:{port}/api/v1/orders", headers=bearer)
            assert answer.status_code == 200
            metrics = await http.get(f"http://127.0.0.1:{internal}/metrics")
            assert "gateway_rate_limit_store_failures_total 1.0" in metrics.text
        process.send_signal(SIGTERM)
        async with asyncio.timeout(10):
            output, _ = await process.communicate()
        assert process.returncode == 0
        assert b'"path": "/api/v1/orders"' in output
        assert bearer["Authorization"].split()[1].encode() not in output
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
