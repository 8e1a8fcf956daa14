"""Clients of both transports that are cut at random, on several replicas, miss nothing."""

import asyncio
import json
import random
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import batched

import httpx
import pytest
from websockets.exceptions import WebSocketException

from chassis.database import is_infrastructure_error, new_id
from notifications.kinds.wiring import SCOPE
from testkit.messages import record_of

USERS, CLIENTS_PER_USER, ITEMS = 100, 2, 100  # 200 clients, 10,000 notifications
BATCH = 200
LONGEST_SECONDS = 600  # of one wait; it only ends a test that hangs
PATIENT = {"feed_auth_seconds": 60, "feed_stall_seconds": 300}  # all share one event loop


# The ends of a connection: by the client itself, refused, or closed by a server that is too busy.
CUT = (TimeoutError, StopAsyncIteration, OSError, httpx.TransportError, WebSocketException)


class Follower:
    """A client that reads some items, is cut, and resumes by another transport or replica."""

    def __init__(self, *, user, token, servers, http, chance):
        self.seen = []
        self.cuts = 0
        self._user = user
        self._token = token
        self._servers = servers
        self._http = http
        self._chance = chance

    async def run(self):
        while len(self.seen) < ITEMS:
            transport = self._chance.choice([self._socket, self._stream])
            server = self._chance.choice(self._servers)
            with suppress(*CUT):
                async with asyncio.timeout(LONGEST_SECONDS), transport(server) as items:
                    await self._read(items)
            self.cuts += 1

    async def _read(self, items):
        """Read for a random time and number of items; what comes then is lost on its way."""
        async with asyncio.timeout(self._chance.uniform(0.5, 10)):
            for _ in range(self._chance.randint(1, 60)):
                self.seen.append(await anext(items))
                if len(self.seen) == ITEMS:
                    return

    @property
    def _last(self):
        return self.seen[-1] if self.seen else 0

    @asynccontextmanager
    async def _socket(self, server):
        async with server.open() as socket:
            last = self._last
            await socket.send(type="auth", token=self._token, last_event_id=last)
            first = await socket.next(LONGEST_SECONDS)
            refused = first.get("problem") == "unavailable"
            assert refused or first == {"type": "ready", "event_id": last}

            async def items():
                while not refused:
                    message = await socket.next(LONGEST_SECONDS)
                    assert message["type"] == "notification"
                    yield message["event_id"]

            yield items()
            socket.connection.transport.abort()

    @asynccontextmanager
    async def _stream(self, server):
        headers = {"Authorization": f"Bearer {self._token}", "Last-Event-ID": str(self._last)}
        url = f"{server.url}/api/v1/notifications/stream"
        async with self._http.stream("GET", url, headers=headers) as response:
            refused = response.status_code == 503
            assert refused or response.status_code == 200

            async def items():
                kind = ""
                if refused:
                    return
                async for line in response.aiter_lines():
                    name, _, value = line.partition(": ")
                    if name == "event":
                        kind = value
                        assert kind in {"ready", "notification"}
                    if name == "data" and kind == "notification":
                        yield json.loads(value)["event_id"]

            yield items()


async def handle(batches, records):
    """Handle messages as the worker does: what the database interrupted is run again."""
    while records:
        done, failure = await batches.run(records)
        assert failure is None or is_infrastructure_error(failure)
        records = records[done:]


@pytest.mark.slow
async def test_each_of_200_clients_that_are_cut_at_random_gets_every_item_once_and_in_order(
    serve, batches, placed, tokens
):
    chance = random.Random(13)
    users = [new_id() for _ in range(USERS)]
    orders = [user for _ in range(ITEMS) for user in chance.sample(users, USERS)]
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve(**PATIENT)) for _ in range(2)]
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        http = await stack.enter_async_context(
            httpx.AsyncClient(trust_env=False, timeout=LONGEST_SECONDS, limits=limits)
        )
        followers = [
            Follower(
                user=user,
                token=tokens.token(subject=user, scopes=[SCOPE]),
                servers=servers,
                http=http,
                chance=random.Random(chance.random()),
            )
            for user in users
            for _ in range(CLIENTS_PER_USER)
        ]
        async with asyncio.TaskGroup() as group:
            for follower in followers:
                group.create_task(follower.run())
            # A factory takes 4 ms for an event, most of what this test would take. Each message has
            # an id of its own, and so makes a notification of its own.
            events = {user: placed(user) for user in users}
            for some in batched(orders, BATCH):
                await handle(batches, [record_of(events[user]) for user in some])
        closes = [
            server.process.registry.get_sample_value("feed_closes_total", labels)
            for server in servers
            for labels in (
                {"transport": "websocket", "code": "client"},
                {"transport": "sse", "code": "client"},
            )
        ]
    expected = list(range(1, ITEMS + 1))
    wrong = [follower.seen for follower in followers if follower.seen != expected]
    assert wrong == []
    assert sum(follower.cuts for follower in followers) > len(followers)
    assert all(closes), "each replica served both transports"
