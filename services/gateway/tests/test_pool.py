"""Which connection a request to a service gets, and how long a connection is kept."""

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver

from gateway.pool import Address, Broken, Fetch, Names, Pool, Unreachable
from testkit.waiting import until

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Replica:
    """Responds to each request, or holds its response, or closes its connection.

    Attributes:
        seen: for each request the number of its connection, and its target.
        open: the numbers of the connections that are open.
        accepted: how many connections there were.
        respond: unset: responses wait.
        drop: whether requests get no response: their connections are closed.
        answer: the bytes of each response.
    """

    def __init__(self):
        self.seen = []
        self.open = {}
        self.accepted = 0
        self.respond = asyncio.Event()
        self.respond.set()
        self.drop = False
        self.answer = ANSWER
        self.address = Address("127.0.0.1", 0)

    async def serve(self, reader, writer):
        number = self.accepted
        self.accepted += 1
        self.open[number] = writer
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.seen.append((number, head.split()[1].decode()))
                await self.respond.wait()
                if self.drop:
                    break
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        del self.open[number]
        writer.close()


class Fleet(Names):
    """Replicas of one service, and a pool of connections to them whose clock is set."""

    def __init__(self, stack):
        super().__init__(host="orders.test", port=0, resolver=_Counting())
        self.now = 0.0
        self.known = []
        self.resolves = asyncio.Event()
        self.resolves.set()
        self._stack = stack

    async def addresses(self):
        await self.resolves.wait()
        return tuple(self.known)

    def forget(self):
        pass

    async def replica(self):
        replica = Replica()
        server = await asyncio.start_server(replica.serve, "127.0.0.1", 0)

        async def stop():
            server.close()
            replica.respond.set()
            for writer in replica.open.values():
                writer.close()
            await until(lambda: not replica.open)

        self._stack.push_async_callback(stop)
        replica.address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        self.known.append(replica.address)
        return replica

    def pool(self, *, limit=0):
        pool = Pool(names=self, limit=limit, connect_seconds=10, clock=lambda: self.now)
        self._stack.push_async_callback(pool.close)
        return pool


@pytest.fixture
async def fleet():
    async with AsyncExitStack() as stack:
        yield Fleet(stack)


class Heard(Fetch):
    """A request that notes when a part of the response's body has arrived."""

    def __init__(self, pool, target="/", method="GET"):
        super().__init__(
            pool,
            method=method.encode(),
            target=target.encode(),
            fields=[(b"host", b"x")],
            body=None,
            deadline=None,
            max_bytes=100,
        )
        self.heard = asyncio.Event()

    def on_part(self, data):
        super().on_part(data)
        self.heard.set()


def begin(pool, target="/", method="GET"):
    return asyncio.create_task(Heard(pool, target, method).answer())


async def exchange(pool, *terms):
    async with asyncio.timeout(10):
        return (await begin(pool, *terms)).status


async def held(pool, replicas, number):
    """Begin requests whose responses wait, each once the one before it has a connection."""
    before = sum(len(one.seen) for one in replicas)
    for one in replicas:
        one.respond.clear()
    tasks: list[asyncio.Task[Any]] = []

    def all_have_one() -> bool:
        return sum(len(one.seen) for one in replicas) == before + len(tasks)

    for _ in range(number):
        tasks.append(begin(pool))
        await until(all_have_one)
    return tasks


async def connected(pool, replicas, number):
    """Open connections, and leave them idle."""
    tasks = await held(pool, replicas, number)
    for one in replicas:
        one.respond.set()
    await asyncio.gather(*tasks)


async def test_idle_connections_are_used_in_turn(fleet):
    replica, pool = await fleet.replica(), fleet.pool()
    await connected(pool, [replica], 2)
    for _ in range(4):
        assert await exchange(pool) == 200
    first, second, *others = [number for number, _ in replica.seen[2:]]
    assert first != second
    assert others == [first, second]


async def test_at_the_limit_requests_wait_in_the_order_of_their_arrival(fleet):
    replica, pool = await fleet.replica(), fleet.pool(limit=1)
    replica.respond.clear()
    tasks = [begin(pool, f"/{number}") for number in range(4)]
    await until(lambda: replica.seen)
    assert (pool.size, pool.waiting) == (1, 3)
    replica.respond.set()
    await asyncio.gather(*tasks)
    assert replica.seen == [(0, f"/{number}") for number in range(4)]


async def test_a_connection_that_is_lost_makes_room_for_one_that_waits(fleet):
    replica, pool = await fleet.replica(), fleet.pool(limit=1)
    replica.respond.clear()
    first, second = begin(pool, "/1", "POST"), begin(pool, "/2", "POST")
    await until(lambda: replica.seen)
    replica.open[0].close()
    with pytest.raises(Broken):
        await first
    replica.respond.set()
    async with asyncio.timeout(10):
        assert (await second).status == 200
    assert replica.seen == [(0, "/1"), (1, "/2")]


async def test_each_request_that_waits_at_the_limit_gets_an_attempt_of_its_own(fleet):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and nothing listens
        fleet.known.append(Address(*bound.getsockname()))
        pool = fleet.pool(limit=1)
        async with asyncio.timeout(10):
            tasks = [begin(pool) for _ in range(3)]
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unreachable] * 3


async def test_a_request_that_ends_while_it_waits_for_its_second_attempt_is_forgotten(fleet):
    replica, pool = await fleet.replica(), fleet.pool()
    replica.respond.clear()
    task = begin(pool)
    await until(lambda: replica.seen)
    fleet.resolves.clear()
    replica.open[0].close()
    await until(lambda: pool.waiting == 1)
    task.cancel()
    await asyncio.wait([task])
    assert pool.waiting == 0
    fleet.resolves.set()


async def test_a_connection_is_kept_for_a_minute_and_a_quarter_at_most(fleet):
    replica, pool = await fleet.replica(), fleet.pool()
    await exchange(pool)
    fleet.now = 44
    await exchange(pool)
    await exchange(pool)
    fleet.now = 75
    await exchange(pool)
    assert replica.accepted == 1
    await until(lambda: not replica.open)
    await exchange(pool)
    assert replica.accepted == 2


async def test_a_connection_that_was_idle_for_half_a_minute_is_closed_and_a_busy_one_is_not(fleet):
    replica, pool = await fleet.replica(), fleet.pool()
    await connected(pool, [replica], 2)
    fleet.now = 20
    [task] = await held(pool, [replica], 1)
    fleet.now = 30
    pool.sweep()
    assert pool.size == 2
    fleet.now = 31
    pool.sweep()
    await until(lambda: pool.size == 1)
    replica.respond.set()
    assert (await task).status == 200
    pool.sweep()
    assert await exchange(pool) == 200
    assert replica.accepted == 2


async def test_a_dead_connection_ends_the_idle_ones_to_its_replica_and_no_others(fleet):
    dead, alive = await fleet.replica(), await fleet.replica()
    pool = fleet.pool()
    await connected(pool, [dead, alive], 4)
    assert (dead.accepted, alive.accepted) == (2, 2)
    fleet.known.remove(dead.address)
    dead.seen.clear()
    dead.drop = True
    for _ in range(4):
        assert await exchange(pool) == 200
    assert len(dead.seen) == 1
    await until(lambda: not dead.open)
    assert alive.accepted == 2


async def test_a_new_connection_goes_to_the_replica_with_the_fewest(fleet):
    one, other = await fleet.replica(), await fleet.replica()
    pool = fleet.pool()
    await connected(pool, [one, other], 8)
    assert (one.accepted, other.accepted) == (4, 4)
    for writer in one.open.values():
        writer.close()
    await until(lambda: pool.size == 4)
    await connected(pool, [one, other], 8)
    assert (one.accepted, other.accepted) == (8, 4)


async def test_the_second_try_goes_to_another_replica(fleet, monkeypatch):
    monkeypatch.setattr("gateway.pool.pool.random.shuffle", lambda _: None)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and nothing listens
        fleet.known.append(Address(*bound.getsockname()))
        replica, pool = await fleet.replica(), fleet.pool()
        assert await exchange(pool) == 200
    assert replica.accepted == 1


async def test_a_connection_that_receives_what_nobody_asked_for_is_closed(fleet):
    replica, pool = await fleet.replica(), fleet.pool()
    await exchange(pool)
    replica.open[0].write(ANSWER)
    await until(lambda: not replica.open)
    assert pool.size == 0
    assert await exchange(pool) == 200
    assert [number for number, _ in replica.seen] == [0, 1]


async def test_trailers_are_no_fields_of_a_response(fleet):
    replica, pool = await fleet.replica(), fleet.pool()
    chunks = b"2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n"
    replica.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    answer = await begin(pool)
    assert (answer.fields, answer.body) == ([(b"transfer-encoding", b"chunked")], b"ok")


async def test_a_response_without_a_length_is_not_whole_because_the_pool_is_closed(fleet):
    replica, pool = await fleet.replica(), fleet.pool()
    replica.answer = b"HTTP/1.1 200 OK\r\n\r\na part"
    fetch = Heard(pool)
    answer = asyncio.create_task(fetch.answer())
    async with asyncio.timeout(10):
        await fetch.heard.wait()
        await pool.close()
        with pytest.raises(Broken):
            await answer


async def test_the_end_of_the_pool_ends_all_that_runs_or_waits(fleet):
    replica, pool = await fleet.replica(), fleet.pool(limit=1)
    replica.respond.clear()
    runs, waits = begin(pool, "/runs"), begin(pool, "/waits")
    await until(lambda: replica.seen)
    await pool.close()
    late = begin(pool, "/late")
    async with asyncio.timeout(10):
        outcomes = await asyncio.gather(runs, waits, late, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unreachable, Unreachable, Unreachable]
    assert replica.accepted == 1


class _Counting(AbstractResolver):
    """Counts what it resolves."""

    def __init__(self):
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC):
        del family
        self.asked += 1
        fields = {"family": socket.AF_INET, "proto": 0, "flags": 0}
        return [{"hostname": host, "host": "192.0.2.1", "port": port, **fields}]

    async def close(self):
        pass


async def test_a_name_is_resolved_again_after_two_seconds_or_once_its_address_failed():
    resolver, now = _Counting(), 0.0
    names = Names(host="orders.test", port=80, resolver=resolver, clock=lambda: now)
    for now, asked in ((0.0, 1), (1.9, 1), (2.0, 2), (3.9, 2)):  # noqa: B007 - the clock reads it
        assert await names.addresses() == (Address("192.0.2.1", 80),)
        assert resolver.asked == asked
    names.forget()
    await names.addresses()
    assert resolver.asked == 3
