"""A replay publishes each aggregate's present state once, in its place among its events."""

import asyncio
import json
from contextlib import suppress
from uuid import UUID

import httpx
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from chassis.auth import TokenVerifier
from chassis.auth.keys import PublicKeys
from chassis.operations.app import Operations
from chassis.operations.replays import Replays, Snapshot
from chassis.wiring import ServiceResources
from testkit.tokens import AUDIENCE, ISSUER
from testkit.waiting import until

from .conftest import running
from .counting import SERVICE, CounterRaised, CounterSnapshot, snapshot_page

PAGE = 2
NAMES = [str(UUID(int=number)) for number in range(1, 6)]
STATE = "SELECT emitted, finished_at IS NOT NULL, error FROM replays"
LOCKED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event_type = 'Lock'"
)


@pytest.fixture
async def resources(offline, tokens):
    keys = await asyncio.to_thread(PublicKeys, tokens.jwks_file)
    return ServiceResources(
        service=SERVICE,
        database=offline.database,
        verifier=TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE),
        wakeups=offline.wakeups,
    )


@pytest.fixture
def make(resources):
    def replays(page=snapshot_page, size=PAGE):
        return Replays(resources=resources, snapshots=[Snapshot(CounterSnapshot, page)], page=size)

    return replays


async def request(service, replays):
    async with service.database.transaction() as unit:
        (replay,) = await replays.request(unit, None, by="somebody")
    return replay


async def drain(replays):
    while await replays.work_page():
        pass


async def published(service):
    """Return the events in the outbox, in order: type, counter and number."""
    rows = await service.query("SELECT type, payload FROM outbox ORDER BY seq")
    return [(kind, json.loads(data)["counter"], json.loads(data)["number"]) for kind, data in rows]


async def snapshots(service):
    return [(c, n) for kind, c, n in await published(service) if kind == CounterSnapshot.type]


async def test_each_aggregate_is_published_once_as_it_is(offline, make):
    await offline.raise_counters(*NAMES, *NAMES[:2])
    replays = make()
    await request(offline, replays)
    await drain(replays)
    numbers = [2, 2, 1, 1, 1]
    assert await snapshots(offline) == list(zip(NAMES, numbers, strict=True))
    assert await offline.query(STATE) == [(5, True, None)]
    assert not await replays.work_page()


async def test_nothing_to_publish_ends_at_once(offline, make):
    replays = make()
    await request(offline, replays)
    await drain(replays)
    assert await offline.query(STATE) == [(0, True, None)]


async def test_another_process_goes_on_after_the_last_page(offline, make):
    await offline.raise_counters(*NAMES)
    replays = make()
    await request(offline, replays)
    await replays.work_page()
    assert await offline.query(STATE) == [(2, False, None)]
    await drain(make())
    assert await snapshots(offline) == [(name, 1) for name in NAMES]


async def test_a_page_that_was_cut_off_is_published_again_and_once(offline, make):
    await offline.raise_counters(*NAMES)
    await request(offline, make())

    async def cut(unit, resources, after, limit):
        await snapshot_page(unit, resources, after, limit)
        await unit.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return []

    with pytest.raises(Exception, match=r"terminating|closed"):
        await make(cut).work_page()
    assert await snapshots(offline) == []
    await drain(make())
    assert await snapshots(offline) == [(name, 1) for name in NAMES]


async def test_a_snapshot_is_between_the_events_before_and_after_it(offline, make):
    await offline.raise_counters(NAMES[0])
    replays = make()
    await request(offline, replays)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(unit, resources, after, limit):
        events = await snapshot_page(unit, resources, after, limit)
        begun.set()
        await go_on.wait()
        return events

    async def locked():
        return await offline.query(LOCKED) != [(0,)]

    async with asyncio.TaskGroup() as group:
        group.create_task(make(slowly).work_page())
        await begun.wait()
        group.create_task(offline.raise_counters(NAMES[0]))
        await until(locked)  # the event waits for the lock of the aggregate's row
        go_on.set()
    assert await published(offline) == [
        (CounterRaised.type, NAMES[0], 1),
        (CounterSnapshot.type, NAMES[0], 1),
        (CounterRaised.type, NAMES[0], 2),
    ]


async def test_two_workers_publish_nothing_twice(offline, make):
    await offline.raise_counters(*NAMES)
    await request(offline, make())
    await asyncio.gather(*(drain(make(size=1)) for _ in range(3)))
    assert sorted(await snapshots(offline)) == [(name, 1) for name in NAMES]
    assert await offline.query(STATE) == [(5, True, None)]


async def test_a_full_outbox_is_waited_for(offline, make):
    await offline.raise_counters(NAMES[0])
    await offline.query(
        "INSERT INTO outbox (id, topic, key, type, headers, payload)"
        " SELECT gen_random_uuid(), 't', 'k', 'x', '{}', '' FROM generate_series(1, 1000)"
    )
    replays = make()
    await request(offline, replays)
    assert await replays.work_page()
    assert await offline.query(STATE) == [(0, False, None)]
    await offline.query("DELETE FROM outbox")
    await drain(replays)
    assert await offline.query(STATE) == [(1, True, None)]


async def test_a_bug_ends_the_replay_and_not_the_worker(offline, make):
    async def broken(unit, resources, after, limit):
        del unit, resources, after, limit
        message = "no such column"
        raise KeyError(message)

    await request(offline, make())
    await drain(make(broken))
    assert await offline.query(STATE) == [(0, True, "KeyError: 'no such column'")]


async def test_a_running_worker_takes_up_a_request_at_once(offline, make):
    await offline.raise_counters(*NAMES)
    replays = make()

    async def finished():
        return await offline.query(STATE) == [(5, True, None)]

    async with running(replays.run()):
        await request(offline, replays)
        await until(finished)


async def test_the_worker_looks_for_a_replay_before_its_request_commits(offline, make, monkeypatch):
    """It looks again after the commit, and not only at its next poll."""
    monkeypatch.setattr("chassis.operations.replays._POLL_SECONDS", 3600)
    await offline.raise_counters(*NAMES)
    replays = make()
    work_page, looked = replays.work_page, asyncio.Event()

    async def look():
        found = await work_page()
        looked.set()
        return found

    async def finished():
        return await offline.query(STATE) == [(5, True, None)]

    monkeypatch.setattr(replays, "work_page", look)
    async with running(replays.run()):
        await looked.wait()
        looked.clear()
        async with offline.database.transaction() as unit:
            await replays.request(unit, None, by="somebody")
            with suppress(TimeoutError):
                await asyncio.wait_for(looked.wait(), 0.5)
        await until(finished)


async def test_operators_start_a_replay_and_see_how_far_it_is(offline, make, resources, tokens):
    await offline.raise_counters(*NAMES)
    operations, replays = Operations(title="Tests", registry=CollectorRegistry()), make()
    operations.open(resources, replays)
    transport = httpx.ASGITransport(app=operations.app)
    headers = tokens.headers(scopes=["ops:replay"])
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        refused = await client.post("/replays", json={}, headers=tokens.headers(scopes=["x"]))
        assert refused.status_code == 403
        client.headers.update(headers)
        unknown = await client.post("/replays", json={"snapshot": "user.snapshot.v1"})
        assert unknown.status_code == 404
        assert CounterSnapshot.type in unknown.json()["detail"]
        started = await client.post("/replays", json={})
        assert started.status_code == 202
        (item,) = started.json()["items"]
        again = await client.post("/replays", json={"snapshot": CounterSnapshot.type})
        assert [one["id"] for one in again.json()["items"]] == [item["id"]]
        await replays.work_page()
        state = (await client.get(f"/replays/{item['id']}")).json()
        assert (state["emitted"], state["finished_at"]) == (2, None)
        await drain(replays)
        (state,) = (await client.get("/replays")).json()["items"]
        assert (state["emitted"], state["finished_at"] is None) == (5, False)
        assert (await client.get(f"/replays/{UUID(int=7)}")).status_code == 404
        second = await client.post("/replays", json={})
        assert second.json()["items"][0]["id"] != item["id"]
