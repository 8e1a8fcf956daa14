import uuid

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from localservers import KafkaServer
from localservers.ports import free_port


@pytest.fixture(scope="module")
async def kafka(tmp_path_factory):
    server = KafkaServer(directory=tmp_path_factory.mktemp("kafka"), port=free_port())
    await server.start()
    yield server
    await server.stop()


async def create_topic(servers: str) -> str:
    name = f"t{uuid.uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 2, 1)])
    finally:
        await admin.close()
    return name


async def produce(servers: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", enable_idempotence=True, request_timeout_ms=4000
    )
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, key=b"k")
    finally:
        await producer.stop()


async def consume(servers: str, topic: str, group: str):
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=servers, group_id=group, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        return (await consumer.getone()).value
    finally:
        await consumer.stop()


async def test_what_is_produced_is_consumed_by_a_group(kafka):
    topic = await create_topic(kafka.bootstrap_servers)
    await produce(kafka.bootstrap_servers, topic, b"hello")
    assert await consume(kafka.bootstrap_servers, topic, "group") == b"hello"


async def test_it_makes_no_topic_by_itself(kafka):
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, request_timeout_ms=1000)
    await producer.start()
    try:
        with pytest.raises(KafkaError):
            await producer.send_and_wait(f"no{uuid.uuid4().hex}", b"x")
    finally:
        await producer.stop()


async def test_topics_messages_and_offsets_survive_a_restart(kafka):
    topic, group = await create_topic(kafka.bootstrap_servers), uuid.uuid4().hex
    await produce(kafka.bootstrap_servers, topic, b"before")
    assert await consume(kafka.bootstrap_servers, topic, group) == b"before"
    pid = kafka.pid
    assert pid is not None
    await kafka.stop()
    assert not psutil.pid_exists(pid)
    await kafka.start()
    await produce(kafka.bootstrap_servers, topic, b"after")
    assert await consume(kafka.bootstrap_servers, topic, group) == b"after"


async def test_one_left_over_is_ended_by_the_next_start(tmp_path, orphan, ended):
    port = free_port()
    pid = await orphan("KafkaServer", directory=tmp_path, port=port)
    server = KafkaServer(directory=tmp_path, port=port)
    await server.start()
    assert ended(pid)
    await create_topic(server.bootstrap_servers)
    await server.stop()


def test_the_heap_is_the_one_asked_for(tmp_path):
    server = KafkaServer(directory=tmp_path, port=free_port(), heap_megabytes=300)
    assert "-Xmx300m" in server.command()
