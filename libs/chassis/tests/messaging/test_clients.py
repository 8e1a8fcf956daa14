"""A Kafka client that is cancelled at any point leaves no socket open."""

import asyncio
import gc

import pytest
from aiokafka import AIOKafkaConsumer

from chassis.messaging.clients import start, stopping
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.publishing.publisher import Publisher

STEP_SECONDS = 0.0005
LONGEST_SECONDS = 0.03  # then it waits for its group


async def produce(kafka: KafkaConnection) -> None:
    async with Publisher.connected(kafka=kafka, client_id="cut-off", acknowledge_seconds=1):
        pass


async def consume(kafka: KafkaConnection, group: str | None) -> None:
    topic, group = kafka.topic_prefix + "counters", group and kafka.topic_prefix + group
    consumer = AIOKafkaConsumer(topic, **kafka.options, group_id=group)
    async with stopping(consumer):
        await start(consumer)


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(produce, id="producer"),
        pytest.param(lambda kafka: consume(kafka, None), id="consumer"),
        pytest.param(lambda kafka: consume(kafka, "cut-off"), id="member of a group"),
    ],
)
async def test_a_client_cancelled_at_any_moment_leaves_no_socket_open(run, topics):
    """An open socket fails the test when it is garbage-collected."""
    gc.collect()
    gc.freeze()  # then a collection looks only at what this test made
    try:
        await cancel_at_each_moment(run, topics)
    finally:
        gc.unfreeze()


async def cancel_at_each_moment(run, topics) -> None:
    await topics.create(["counters"])
    kafka = KafkaConnection(bootstrap_servers=topics.bootstrap_servers, topic_prefix=topics.prefix)
    ended_by_itself, after = False, 0.0
    while not ended_by_itself and after < LONGEST_SECONDS:
        running = asyncio.ensure_future(run(kafka))
        await asyncio.wait([running], timeout=after)
        ended_by_itself = running.done()
        running.cancel()
        await asyncio.wait([running])
        if ended_by_itself:
            running.result()
        else:
            assert running.cancelled()
        del running
        gc.collect()
        after += STEP_SECONDS


async def test_a_start_that_gets_no_response_is_given_up_when_cancelled():
    """The server accepts connections and sends nothing, as a frozen one does."""
    begun = asyncio.Event()

    async def listen(reader, writer):
        begun.set()
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(listen, "127.0.0.1", 0)
    host, port = silent.sockets[0].getsockname()
    async with silent:
        running = asyncio.ensure_future(
            produce(KafkaConnection(bootstrap_servers=f"{host}:{port}"))
        )
        await begun.wait()
        running.cancel()
        await asyncio.wait([running], timeout=5)
        assert running.cancelled()
