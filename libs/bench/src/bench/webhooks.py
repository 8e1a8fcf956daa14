"""Deliveries of webhooks: one worker, one receiver on the same machine."""

import json
from functools import partial

import asyncpg
import httpx

from bench.machine import cpu_seconds, python_versions
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Sample, rate, take_turns
from bench.shop import start_database
from bench.window import watch
from contracts import TOPICS
from localservers import KafkaServer
from localservers.ports import free_port
from slipway.errors import SlipwayError
from slipway.local.program import Program
from slipway.operate.topics import Topics

SIDE = "deliveries of webhooks"
_BAR = 1_000
_MOST_A_SECOND = 4_000
_FILL_SECONDS = 300
_METHOD = """\
SQL writes deliveries that are due to one webhook, and the job that sends them. The worker signs
each request, sends it to a receiver on the same machine, and records the attempt. The receiver is a
minimal ASGI app in one process. Its response is a JSON document of 400 bytes."""
_FILL = """
    INSERT INTO notifications.deliveries
        (id, webhook_id, user_id, notification_id, type, payload, deadline)
    SELECT uuidv7(), w.id, w.user_id, NULL, 'order.placed', $1, now() + interval '1 day'
    FROM notifications.webhooks AS w, generate_series(1, $2::int)
"""
_WAKE = """
    INSERT INTO notifications.jobs (queue, kind, arguments, priority, unique_key)
    SELECT 'webhooks', 'notifications.send-deliveries.v1',
        json_build_object('webhook_id', id), 2, id::text
    FROM notifications.webhooks ON CONFLICT DO NOTHING
"""
_DONE = "SELECT count(*) FROM notifications.deliveries WHERE state = 'delivered'"
_BODY = {
    "type": "order.placed",
    "timestamp": "2026-01-01T00:00:00.000000Z",
    "data": {
        "notification_id": "0199c3a5-6c1e-7d53-9f5e-4a2b7c9d1e0f",
        "event_id": 17,
        "title": "Order placed",
        "body": "We have received your order 0199c3a5-1b2c-7a41-8c3d-5e6f7a8b9c0d.",
        "data": {"order_id": "0199c3a5-1b2c-7a41-8c3d-5e6f7a8b9c0d"},
    },
}


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    postgres, database = await start_database(rig, {})
    kafka = KafkaServer(directory=rig.state.servers / "kafka", port=rig.settings.kafka_port)
    await rig.serve(kafka)
    await Topics.of(rig.settings, TOPICS).apply()
    receiver = await rig.run(rig.module("upstream", free_port()))
    shared = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.spec.address}
    api = await rig.run(rig.process("notifications", database, **shared))
    await _create_webhook(rig, api, f"{receiver.spec.address}/hooks")
    worker = await rig.run(rig.process("notifications-worker", database, **shared))
    connection = await asyncpg.connect(postgres.url(database=database.name))
    try:
        side = partial(_send, connection, worker)
        samples = await take_turns({SIDE: side}, pace, rig.reporter.say)
    finally:
        await connection.close()
    return Finding(
        title="Webhooks",
        lines=[
            Line(
                what=f"{SIDE}, one worker",
                measured=rate(samples[SIDE]),
                unit="deliveries/s",
                bar=_BAR,
                plain=True,
            )
        ],
        method=_METHOD,
        samples=samples,
        versions=python_versions("aiohttp", "asyncpg", "uvloop"),
    )


async def _create_webhook(rig: Rig, api: Program, url: str) -> None:
    (user,) = await rig.users(1, "notifications:read")
    async with httpx.AsyncClient(base_url=api.spec.address, trust_env=False) as client:
        answer = await client.post(
            "/api/v1/webhooks",
            json={"url": url},
            headers={"Authorization": f"Bearer {user.token}"},
        )
    if not answer.is_success:
        message = f"The webhook can't be created: {answer.text}"
        raise SlipwayError(message)


async def _send(connection: asyncpg.Connection, worker: Program, seconds: float) -> Sample:
    """Let the worker send for a while, and count what was recorded."""
    await connection.execute("TRUNCATE notifications.deliveries")
    deliveries = round((seconds + 2) * _MOST_A_SECOND)
    await connection.execute(_FILL, json.dumps(_BODY), deliveries, timeout=_FILL_SECONDS)
    await connection.execute("VACUUM ANALYZE notifications.deliveries", timeout=_FILL_SECONDS)
    await connection.execute(_WAKE)

    async def done() -> int:
        return int(await connection.fetchval(_DONE))

    sample = await watch(done, partial(cpu_seconds, worker), seconds, settle=0.5)
    after = await done()
    if after == deliveries:
        message = f"The worker ran out of its {deliveries} deliveries. Raise the number in the row."
        raise SlipwayError(message)
    return sample
