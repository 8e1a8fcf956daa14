"""Sockets of the live feed that one process of notifications holds, and a broadcast to all."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import batched
from uuid import UUID

import asyncpg
from websockets.asyncio.client import ClientConnection, connect

from bench.machine import cpu_seconds, pss_megabytes, python_versions
from bench.results import Finding, Line
from bench.rig import Rig, User
from bench.rounds import Pace, Ratio, Sample
from bench.shop import start_database
from chassis.connections import raise_descriptor_limit
from localservers import PostgresServer
from slipway.errors import SlipwayError
from slipway.local.program import Program
from slipway.operate.database import Database

_SIDE = "broadcast"
_SOCKETS = 5_000
_MEMORY_BAR = 300
_SECONDS_BAR = 2
_AT_ONCE = 50
_USERS_IN_HINT = 200
_LONGEST_SECONDS = 120
# What one transaction of the worker writes: the next number and one item for each user.
_WRITE = """
    WITH heads AS (
        INSERT INTO notifications.feed_heads (user_id, feed_seq)
        SELECT user_id, 1 FROM unnest($1::uuid[]) AS u (user_id) ORDER BY user_id
        ON CONFLICT (user_id) DO UPDATE SET feed_seq = feed_heads.feed_seq + 1
        RETURNING user_id, feed_seq
    )
    INSERT INTO notifications.feed_entries (user_id, event_id, type, data)
    SELECT user_id, feed_seq, 'notification',
           jsonb_build_object('id', user_id, 'type', 'order.shipped', 'title', 'Order shipped',
                              'body', repeat('x', 100), 'event_id', feed_seq)
    FROM heads
"""
_METHOD = """\
One process of notifications holds the sockets, each of another user, without a gateway; the clients
are in the process of the measurement. A broadcast is one transaction that writes an item for each
user, and the hints that follow its commit. Its time is that from the commit to the last item at a
client. The memory is that after all broadcasts."""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    return await hold(rig, pace, sockets=_SOCKETS)


async def hold(rig: Rig, pace: Pace, *, sockets: int) -> Finding:
    """Hold so many sockets, and send one item to all of them in each round."""
    raise_descriptor_limit()
    postgres, database = await start_database(rig, {})
    program = await rig.run(rig.process("notifications", database))
    users = await rig.users(sockets, "notifications:read")
    async with AsyncExitStack() as stack:
        with rig.reporter.step(f"{sockets} sockets"):
            clients = await _connected(stack, program, users)
        samples = []
        for sweep in range(pace.sweeps):
            samples.append(await _broadcast(postgres, database, program, users, clients))
            rig.reporter.say(f"         round {sweep + 1}: {samples[-1].seconds:.2f} s")
        memory = pss_megabytes(program)
    return _finding(sockets, samples, memory)


async def _connected(
    stack: AsyncExitStack, program: Program, users: Sequence[User]
) -> list[ClientConnection]:
    url = program.spec.address.replace("http", "ws", 1) + "/api/v1/notifications/ws"

    async def open_one(user: User) -> ClientConnection:
        client = await connect(url, proxy=None, compression=None, ping_interval=None)
        stack.push_async_callback(client.close)
        await client.send(json.dumps({"type": "auth", "token": user.token}))
        await _next(client, "ready")
        return client

    opened: list[ClientConnection] = []
    for some in batched(users, _AT_ONCE):
        opened += await asyncio.gather(*map(open_one, some))
    return opened


async def _next(client: ClientConnection, kind: str) -> None:
    """Wait for the next message that is not a ping."""
    async with asyncio.timeout(_LONGEST_SECONDS):
        while (message := json.loads(await client.recv()))["type"] == "ping":
            pass
    if message["type"] != kind:
        unexpected = f"A socket got {message!r} in place of {kind}. See the log of notifications."
        raise SlipwayError(unexpected)


async def _broadcast(
    postgres: PostgresServer,
    database: Database,
    program: Program,
    users: Sequence[User],
    clients: Sequence[ClientConnection],
) -> Sample:
    ids: list[UUID] = [user.id for user in users]
    connection = await asyncpg.connect(postgres.url(database=database.name))
    try:
        before = cpu_seconds(program)
        waiting = asyncio.gather(*(_next(client, "notification") for client in clients))
        await connection.execute(_WRITE, ids)
        began = time.monotonic()
        for some in batched(ids, _USERS_IN_HINT):
            hint = ",".join(map(str, some))
            await connection.execute("SELECT pg_notify('notifications_feed', $1)", hint)
        await waiting
        seconds = time.monotonic() - began
    finally:
        await connection.close()
    return Sample(operations=len(users), seconds=seconds, cpu=cpu_seconds(program) - before)


def _finding(sockets: int, samples: Sequence[Sample], memory: float) -> Finding:
    return Finding(
        title="Sockets of one process",
        lines=[
            Line(
                what=f"memory (PSS) of a notifications process that holds {sockets:,} sockets",
                measured=Ratio.of([memory]),
                unit="MB",
                bar=_MEMORY_BAR,
                plain=True,
                at_most=True,
            ),
            Line(
                what=f"broadcast to {sockets:,} sockets of one process",
                measured=Ratio.of([sample.seconds for sample in samples]),
                unit="s",
                bar=_SECONDS_BAR,
                plain=True,
                at_most=True,
            ),
        ],
        method=_METHOD,
        samples={_SIDE: samples},
        versions=python_versions("uvicorn", "websockets", "fastapi", "asyncpg"),
    )
