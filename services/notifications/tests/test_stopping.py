"""SIGTERM on a real API process whose clients hold sockets and streams open."""

import asyncio
from contextlib import AsyncExitStack

import httpx

from chassis.database import new_id
from contracts import TOPICS
from notifications.kinds.wiring import SCOPE

from .conftest import StreamClient, open_feed
from .processes import environment_of, running

CLIENTS = 20
SPREAD = 60_000


async def opened(stack, process, tokens):
    """Open sockets and streams, each of a user of its own, and wait until each is ready."""
    sockets, streams = [], []
    http = await stack.enter_async_context(
        httpx.AsyncClient(base_url=process.url, trust_env=False, timeout=60)
    )
    for _ in range(CLIENTS):
        user = new_id()
        url = f"ws://127.0.0.1:{process.port}/api/v1/notifications/ws"
        socket = await stack.enter_async_context(open_feed(url, None))
        await socket.send(type="auth", token=tokens.token(subject=user, scopes=[SCOPE]))
        assert (await socket.next(seconds=30))["type"] == "ready"
        given = tokens.headers(subject=user, scopes=[SCOPE])
        response = await stack.enter_async_context(
            http.stream("GET", "/api/v1/notifications/stream", headers=given)
        )
        stream = StreamClient(response)
        assert (await stream.next(seconds=30)).event == "ready"
        sockets.append(socket)
        streams.append(stream)
    return sockets, streams


async def last_of_socket(socket):
    """Return the time to wait that the socket's last message names, after its close frame."""
    message = await socket.next(seconds=30)
    assert (message["type"], message["problem"]) == ("error", "server-stopping"), message
    assert await socket.closed(seconds=30) == 1012
    return message["reconnect_ms"]


async def last_of_stream(stream):
    """Return the time to wait that the stream's last field names, after its end."""
    stream.retry = None
    assert await stream.ended(seconds=30)
    return stream.retry


async def test_a_process_that_stops_spreads_its_clients_and_exits_in_time(
    database, topics, tokens, tmp_path
):
    """Clients that all connect again at once would overload the processes that remain."""
    await topics.create([topic.name for topic in TOPICS], partitions=1)
    grace = 10
    environment = environment_of(
        database,
        topics,
        tokens,
        FEED_RECONNECT_SECONDS=str(SPREAD // 1000),
        SHUTDOWN_TIMEOUT=str(grace),
    )
    async with running("api", environment, tmp_path) as process, AsyncExitStack() as stack:
        sockets, streams = await opened(stack, process, tokens)
        async with asyncio.TaskGroup() as group:
            exited = group.create_task(process.stopped(seconds=grace))
            waits = [group.create_task(last_of_socket(one)) for one in sockets]
            waits += [group.create_task(last_of_stream(one)) for one in streams]
        named = [one.result() for one in waits]
    assert all(SPREAD // 10 <= one <= SPREAD for one in named), named
    assert len(set(named)) > CLIENTS
    assert max(named) - min(named) > SPREAD // 4, named  # 40 draws: less has a chance below 1e-15
    written = exited.result()
    assert written.count('"path": "/api/v1/notifications/stream"') == CLIENTS
    assert '"level": "error"' not in written
