"""Partitions move while messages are in hand; two members never handle the same message."""

import asyncio
import signal
from contextlib import asynccontextmanager

import asyncpg
import psutil
import pytest

from chassis.database import new_id
from chassis.health import Health
from chassis.messaging.events import cloud_event_headers
from chassis.role_names import runtime_role
from testkit.waiting import until

from .conftest import running
from .counting import FREEZE, SERVICE, SOURCE, CounterRaised, record
from .history import faults
from .partitions import keys_of
from .processes import worker_environment, worker_process


class HeldHandler:
    """Takes effect, then holds the transaction open at one event until it is released."""

    def __init__(self, counter, number):
        self._event = (counter, number)
        self.reached = asyncio.Event()
        self.released = asyncio.Event()
        self.dropped = asyncio.Event()
        self.calls = []

    async def __call__(self, event, delivery):
        self.calls.append((event.counter, event.number))
        await record(event, delivery)
        if (event.counter, event.number) == self._event:
            self.reached.set()
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.dropped.set()
                raise


class Member:
    """Another member of the group, in this process; `joined` waits for its partitions."""

    def __init__(self, service, **options):
        self.handler = HeldHandler("none", 0)
        self._health = Health()
        self._health.started()
        self._consumer = service.consumer(self.handler, health=self._health, **options)

    def running(self):
        return running(self._consumer.run())

    async def joined(self):
        async def knows():
            return self._health.ready[0]

        await until(knows)


@asynccontextmanager
async def idle_transactions_end_after(urls, seconds):
    """Set how long PostgreSQL lets a transaction be idle, in this database."""
    connection = await asyncpg.connect(urls.superuser_url)
    database = await connection.fetchval("SELECT current_database()")
    role = f"ALTER ROLE {runtime_role(SERVICE)} IN DATABASE {database}"
    try:
        await connection.execute(
            f"{role} SET idle_in_transaction_session_timeout = '{seconds:.0f}s'"
        )
        yield
    finally:
        await connection.execute(f"{role} RESET idle_in_transaction_session_timeout")
        await connection.close()


@asynccontextmanager
async def held_in_mid_batch(service, *, session_seconds=2):
    """Run a member until it is in the middle of a batch's transaction; yield its handler."""
    [key] = keys_of(0, 1)
    handler = HeldHandler(key, 3)
    async with idle_transactions_end_after(service.urls, 60):  # so that the member ends it
        await service.raise_counters(*[key] * 5)
        async with running(service.relay().run()):
            await service.until_published()
        async with running(service.consumer(handler, session_seconds=session_seconds).run()):
            await handler.reached.wait()
            yield handler


async def test_a_batch_in_progress_is_finished_before_another_member_gets_its_partition(service):
    async with held_in_mid_batch(service, session_seconds=10) as handler:
        other = Member(service, session_seconds=10)
        async with other.running():
            # The join makes the group revoke all partitions, and it waits for this batch.
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(other.joined(), 1)
            assert await service.effects() == []
            handler.released.set()
            await other.joined()
            await service.until_effects()
    assert other.handler.calls == []
    assert faults(await service.effects(), service.raised) == []


async def test_a_batch_that_does_not_end_is_rolled_back_in_time_and_the_next_owner_runs_it(
    service, caplog
):
    """If the member were too late, the group would drop it, and it would have to join again."""
    async with held_in_mid_batch(service) as handler:
        other = Member(service, session_seconds=2)
        async with other.running():
            await handler.dropped.wait()
            assert other.handler.calls == []
            handler.released.set()  # whichever member has the partition now may finish it
            await service.until_effects()
    assert "member_id was not recognized" not in caplog.text
    assert len([*handler.calls, *other.handler.calls]) == 3 + 5
    assert faults(await service.effects(), service.raised) == []


@asynccontextmanager
async def process_of_a_member(service, tokens, directory):
    """Run a member in a separate process, which freezes itself when an event requests it."""
    environment = worker_environment(service, tokens, session_seconds=1)
    log = await asyncio.to_thread((directory / "member.log").open, "wb")
    with log:
        async with worker_process(environment, log) as process:
            yield process


@pytest.fixture
def overtaken(service, tokens, tmp_path):
    """Freeze a member in the middle of its transaction until another has its partitions."""

    @asynccontextmanager
    async def run(*, borne_seconds):
        [key] = keys_of(0, 1)
        other = Member(service, session_seconds=1)
        async with (
            idle_transactions_end_after(service.urls, borne_seconds),
            process_of_a_member(service, tokens, tmp_path) as process,
        ):

            async def is_frozen():
                return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED

            await publish(service, key)
            await service.until_effects()  # wait until the member works
            await publish(service, key, filler=FREEZE)
            await until(is_frozen)
            await publish(service, key)
            async with other.running():
                await other.joined()
                yield process, key

    return run


async def publish(service, key, *, filler=""):
    """Send the key's next event to the topic: the relay of a frozen member would keep its rows."""
    service.raised[key] += 1
    event = CounterRaised(counter=key, number=service.raised[key], filler=filler)
    headers = cloud_event_headers(event, event_id=new_id(), source=SOURCE, trace={})
    await service.send(event.to_json(), headers=headers, key=key)


async def transactions_in_hand(service):
    """Return the transactions that hold a partition's lock."""
    rows = await service.query(
        "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid)"
        " WHERE locktype = 'advisory' AND granted AND xact_start IS NOT NULL"
        " AND datname = current_database()"
    )
    return [name for (name,) in rows]


async def test_a_member_frozen_in_its_transaction_that_wakes_in_time_commits_and_is_not_overtaken(
    service, overtaken
):
    """It holds the partition's lock: the new owner waits, and then finds its inbox rows."""
    async with overtaken(borne_seconds=60) as (member, _):
        assert "counters-worker" in await transactions_in_hand(service)
        assert len(await service.effects()) == 1
        member.send_signal(signal.SIGCONT)
        await service.until_effects()
    assert faults(await service.effects(), service.raised) == []


async def test_a_member_frozen_in_its_transaction_is_overtaken_and_can_commit_nothing_after(
    service, overtaken
):
    """PostgreSQL ends its session, and the new owner continues in its place."""
    async with overtaken(borne_seconds=1) as (member, key):
        await service.until_effects()
        before = await service.effects()
        member.send_signal(signal.SIGCONT)
        await publish(service, key)
        await service.until_effects()
        member.terminate()
        assert await member.wait() == 0
    assert (await service.effects())[: len(before)] == before
    assert faults(await service.effects(), service.raised) == []
