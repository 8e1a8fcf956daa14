"""A real worker process is killed while it works: each event has its effect once, in order."""

import asyncio
import json
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from chassis.database import new_id
from chassis.operations.replays import PAGE
from testkit.waiting import until

from .counting import CounterSnapshot
from .history import faults
from .processes import events_all_the_while, worker_environment, worker_process

COUNTERS = "INSERT INTO counters SELECT name, 1 FROM unnest($1::text[]) AS names (name)"
REPLAY = "INSERT INTO replays (id, snapshot, requested_by) VALUES ($1, $2, 'somebody')"
NAMES = [f"counter-{number}" for number in range(15)]
pytestmark = pytest.mark.xdist_group("own servers")


@pytest.fixture
def environment(service, tokens):
    return worker_environment(service, tokens, session_seconds=2)


@pytest.fixture
def log(tmp_path):
    with (tmp_path / "worker.log").open("wb") as file:
        yield file


async def batch_in_hand(service):
    """Return whether a consumer is in a batch's transaction: it holds a partition's lock."""
    rows = await service.query(
        "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
        " AND application_name = 'counters-worker' AND xact_start IS NOT NULL"
    )
    return bool(rows)


@asynccontextmanager
async def row_lock(service, name):
    """Hold the lock of a counter's row, which the page of a replay waits for."""
    limits = {"idle_in_transaction_session_timeout": "0", "transaction_timeout": "0"}
    connection = await asyncpg.connect(service.urls.runtime_url, server_settings=limits)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM counters WHERE name = $1 FOR UPDATE", name)
            yield
    finally:
        await connection.close()


async def test_a_worker_killed_again_and_again_loses_doubles_and_inverts_nothing(
    service, environment, log
):
    async def consumer_at_work():
        return await batch_in_hand(service)

    async with worker_process(environment, log), events_all_the_while(service, NAMES):
        await service.until_effects(20)
        await until(consumer_at_work)
    for _ in range(2):
        # The group waits until the dead member's session times out; the relay works already.
        await service.raise_counters(*NAMES * 3)
        before = await service.backlog()

        async def relay_at_work(before=before):
            return await service.backlog() < before

        async with worker_process(environment, log), events_all_the_while(service, NAMES):
            await until(relay_at_work)
    # Events go on here as well: a worker may take all that there is between two looks at it.
    async with worker_process(environment, log), events_all_the_while(service, NAMES):
        await until(consumer_at_work)
    async with worker_process(environment, log) as last:
        await service.until_effects()
        await service.until_published()
        last.terminate()
        assert await last.wait() == 0
    assert service.raised.total() > 100
    assert faults(await service.effects(), service.raised) == []


async def test_a_worker_that_is_asked_to_stop_in_mid_flow_ends_in_order(
    service, environment, tmp_path, log
):
    async def consumer_at_work():
        return await batch_in_hand(service)

    async with worker_process(environment, log) as process, events_all_the_while(service, NAMES):
        await service.until_effects(1)
        await until(consumer_at_work)
        process.terminate()
        assert await process.wait() == 0
    text = await asyncio.to_thread((tmp_path / "worker.log").read_text)
    lines = [json.loads(line) for line in text.splitlines()]
    ours = [line for line in lines if not line["logger"].startswith("aiokafka")]
    assert [line for line in ours if line["level"] != "info"] == []


async def test_a_worker_killed_in_the_middle_of_a_replay_goes_on_where_it_was(
    service, environment, log
):
    """One snapshot of each aggregate takes effect, although the relay may have sent it twice."""
    names = [str(UUID(int=number)) for number in range(1, 3001)]
    await service.query(COUNTERS, names)
    await service.query(REPLAY, new_id(), CounterSnapshot.type)

    async def emitted():
        [(number, at)] = await service.query("SELECT emitted, finished_at FROM replays")
        return number, at is not None

    async def under_way():
        return (await emitted())[0] > 0

    async def finished():
        return (await emitted())[1]

    # Without the lock, the replay may end between a look and the kill.
    async with row_lock(service, names[2 * PAGE]), worker_process(environment, log):
        await until(under_way)
    number, ended = await emitted()
    assert number in {PAGE, 2 * PAGE}
    assert not ended
    async with worker_process(environment, log) as last:
        await until(finished)
        await service.until_effects(len(names))
        await service.until_published()
        last.terminate()
        assert await last.wait() == 0
    assert await emitted() == (len(names), True)
    assert sorted(await service.effects()) == [(name, 1) for name in names]
