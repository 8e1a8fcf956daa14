"""Kafka or PostgreSQL is unavailable for a while: nothing is lost, and no operator is needed."""

import asyncio
import gc
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from chassis.database import is_infrastructure_error
from chassis.library_internals.aiokafka import retrieve_errors_of_commits
from chassis.messaging.clients import start, stopping
from localservers import KafkaServer, PostgresServer
from localservers.ports import free_port
from testkit.databases import ServiceDatabase
from testkit.kafka import TestTopics
from testkit.waiting import until

from .conftest import counting_service, running, settings_for
from .counting import SERVICE, metadata
from .history import faults
from .verifying import facts_of

pytestmark = pytest.mark.xdist_group("own servers")

NAMES = [f"counter-{number}" for number in range(8)]


@pytest.fixture(scope="module")
async def broker(tmp_path_factory):
    """A Kafka for this module alone, which its tests start and stop."""
    server = KafkaServer(directory=tmp_path_factory.mktemp("kafka"), port=free_port())
    yield server
    await server.stop()


@pytest.fixture
async def started(broker):
    if broker.pid is None:
        await broker.start()
    return broker


@pytest.fixture
async def service(database, database_settings, broker):
    topics = TestTopics(bootstrap_servers=broker.bootstrap_servers)
    async with (
        counting_service(database, database_settings, topics) as counting,
        running(counting.wakeups.run()),
    ):
        yield counting


async def kill(server):
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    await server.stop()


@asynccontextmanager
async def events_all_the_while(service):
    """Raise counters during the block, and some before and after it."""
    leave = asyncio.Event()

    async def go_on(name):
        while not leave.is_set():
            await service.raise_counters(name)
            await asyncio.sleep(0.02)

    await service.raise_counters(*NAMES)
    async with asyncio.TaskGroup() as group:
        for name in NAMES:
            group.create_task(go_on(name))
        yield
        leave.set()
    await service.raise_counters(*NAMES)


async def test_kafka_that_is_unavailable_at_the_start_is_waited_for_and_so_are_its_topics(
    service, broker
):
    await broker.stop()
    await service.raise_counters(*NAMES)
    async with running(service.relay().run(), service.consumer(session_seconds=2).run()):
        await service.raise_counters(*NAMES)
        assert await service.backlog() == 16
        await broker.start()
        await service.topics.create(["counters"])
        await service.until_effects()
    assert faults(await service.effects(), service.raised) == []


async def test_kafka_that_dies_in_mid_flow_loses_nothing_and_is_picked_up_again(service, started):
    await service.topics.create(["counters"])
    async with running(service.relay().run(), service.consumer(session_seconds=2).run()):
        async with events_all_the_while(service):
            await service.until_effects(20)
            await kill(started)
            await started.start()
        await service.until_effects()
    assert faults(await service.effects(), service.raised) == []


async def test_a_commit_given_up_before_its_request_fails_leaves_no_unretrieved_exception(
    service, started
):
    """The plugin fails a test that leaves one."""
    await service.topics.create(["counters"])
    topic = service.topics.prefix + "counters"
    member = AIOKafkaConsumer(
        topic, bootstrap_servers=started.bootstrap_servers, group_id=topic, enable_auto_commit=False
    )
    async with stopping(member):
        await start(member)
        retrieve_errors_of_commits(member)
        os.kill(started.pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await member.commit({TopicPartition(topic, 0): 0})
        requests = [one for one in asyncio.all_tasks() if "commit_offsets" in repr(one)]
        await kill(started)
        await asyncio.wait(requests)
    assert len(requests) == 1
    del requests
    gc.collect()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("step", ["committed", "end_offsets", "getmany"])
async def test_facts_end_with_an_error_if_kafka_is_lost_before_a_step(
    service, started, monkeypatch, step, number
):
    """They neither wait for ever, nor pass for those of a topic without events."""
    monkeypatch.setattr("chassis.verification.topics._ANSWER_SECONDS", 2)
    await service.topics.create(["counters"])
    await service.raise_counters(*NAMES)
    async with running(service.relay().run()):
        await until(lambda: sent(service))
    method = getattr(AIOKafkaConsumer, step)
    lost = asyncio.Event()

    def lose(self, *arguments, **options):
        if not lost.is_set():
            lost.set()
            os.kill(started.pid, number)
        return method(self, *arguments, **options)

    monkeypatch.setattr(AIOKafkaConsumer, step, lose)
    reading = asyncio.create_task(facts_of(service))
    try:
        await asyncio.wait([reading], timeout=30)
        assert reading.done(), "it waits for ever"
        assert isinstance(reading.exception(), KafkaError | TimeoutError)
    finally:
        reading.cancel()
        if started.pid is not None:
            os.kill(started.pid, signal.SIGKILL)
        await started.wait()
        await started.stop()
        await asyncio.wait([reading])


async def sent(service):
    return await service.backlog() == 0


async def test_a_broker_that_is_frozen_holds_nothing_for_ever(service, started):
    """It accepts connections and sends nothing: a batch that waits too long is sent again."""

    async def given_up():
        return service.relay_metrics.errors._value.get() > 0

    await service.topics.create(["counters"])
    async with running(service.relay(acknowledge_seconds=0.5).run()):
        await service.raise_counters("a")
        await service.until_published()
        os.kill(started.pid, signal.SIGSTOP)
        try:
            await service.raise_counters("a", "b")
            await until(given_up)
        finally:
            os.kill(started.pid, signal.SIGCONT)
        await service.until_published()
    async with running(service.consumer(session_seconds=2).run()):
        await service.until_effects()
    assert faults(await service.effects(), service.raised) == []


async def test_relay_and_consumer_stop_at_once_while_kafka_is_unavailable(service, started):
    await service.topics.create(["counters"])
    async with AsyncExitStack() as work:
        relay, consumer = service.relay(), service.consumer()
        await work.enter_async_context(running(relay.run(), consumer.run()))
        await service.raise_counters(*NAMES)
        await service.until_effects()
        await kill(started)
        await service.raise_counters(*NAMES)
        await asyncio.sleep(0.3)  # the relay is sending them; there is no event to wait for
        async with asyncio.timeout(10):
            await work.aclose()
    assert await service.backlog() == len(NAMES)  # and what could not be sent waits


@pytest.fixture
async def own_postgres(tmp_path):
    server = PostgresServer(
        directory=tmp_path / "postgres", port=free_port(), password="test", fast=True
    )
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def own_database(own_postgres):
    return await ServiceDatabase.create_from_metadata(own_postgres.url(), SERVICE, metadata)


@pytest.fixture
def own_settings(own_database):
    return settings_for(own_database.runtime_url)


async def test_postgres_that_restarts_in_mid_flow_loses_nothing_and_is_picked_up_again(
    own_postgres, own_database, own_settings, topics
):
    await topics.create(["counters"])
    restarted = asyncio.Event()
    async with counting_service(own_database, own_settings, topics) as service:

        async def raise_in_spite_of_it(name):
            while not restarted.is_set():
                try:
                    await service.raise_counters(name)
                except Exception as error:
                    if not is_infrastructure_error(error):
                        raise
                await asyncio.sleep(0.01)

        work = (
            service.wakeups.run(),
            service.relay().run(),
            service.consumer(session_seconds=2).run(),
        )
        async with running(*work):
            async with asyncio.TaskGroup() as group:
                for name in NAMES:
                    group.create_task(raise_in_spite_of_it(name))
                await service.until_effects(20)
                await own_postgres.stop()
                await own_postgres.start()
                restarted.set()
            await service.raise_counters(*NAMES)
            # Compare with what was committed: a response may be lost with the connection.
            raised = dict(await service.query("SELECT name, value FROM counters"))
            await service.until_effects(sum(raised.values()))
        assert faults(await service.effects(), raised) == []
