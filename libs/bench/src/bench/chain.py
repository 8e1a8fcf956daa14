"""A plain producer and a plain consumer of aiokafka in one process: the cost of Kafka alone.

`python -m bench.chain PLAN RESULT`, two files of JSON. No outbox, inbox or database; the
producer is as safe as the relay's, and the consumer commits what it received.
"""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from pydantic import BaseModel

from bench.arrivals import arrival_times, each_in_time
from bench.plans import carry_out

_BYTES = 700  # as large as an order's event
_LIMIT_SECONDS = 10.0
_NUMBER_BYTES = 8


class Plan(BaseModel):
    """The plan: a message at each of the times that `seed` determines."""

    bootstrap_servers: str
    topic: str
    per_second: float
    seconds: float
    seed: int


class Result(BaseModel):
    """The result: seconds from sending to arrival of each message, and CPU seconds."""

    latencies: list[float]
    cpu: float


async def run(plan: Plan) -> Result:
    """Send, and wait for all messages; raise TimeoutError if one is missing."""
    times = arrival_times(per_second=plan.per_second, seconds=plan.seconds, seed=plan.seed)
    async with AsyncExitStack() as stack:
        producer, consumer = await _connect(plan, stack)
        cpu = time.process_time()
        sent: list[float] = []
        receiving = asyncio.create_task(_receive(consumer, len(times)))
        async with asyncio.TaskGroup() as group:
            async for _ in each_in_time(times):
                number = len(sent)
                sent.append(time.monotonic())
                group.create_task(_send(producer, plan.topic, number))
        async with asyncio.timeout(_LIMIT_SECONDS):
            received = await receiving
        return Result(
            latencies=[received[number] - at for number, at in enumerate(sent)],
            cpu=time.process_time() - cpu,
        )


async def _connect(plan: Plan, stack: AsyncExitStack) -> tuple[AIOKafkaProducer, AIOKafkaConsumer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=plan.bootstrap_servers, enable_idempotence=True, acks="all"
    )
    await producer.start()
    stack.push_async_callback(producer.stop)
    consumer = AIOKafkaConsumer(
        plan.topic,
        bootstrap_servers=plan.bootstrap_servers,
        group_id=f"chain-{uuid4().hex}",
        enable_auto_commit=False,
        auto_offset_reset="latest",
    )
    await consumer.start()
    stack.push_async_callback(consumer.stop)
    for partition in consumer.assignment():
        await consumer.position(partition)  # from here on nothing that is sent is before its start
    return producer, consumer


async def _send(producer: AIOKafkaProducer, topic: str, number: int) -> None:
    key = number.to_bytes(_NUMBER_BYTES)
    await producer.send_and_wait(topic, bytes(_BYTES), key=key)


async def _receive(consumer: AIOKafkaConsumer, count: int) -> dict[int, float]:
    received: dict[int, float] = {}
    while len(received) < count:
        polled = await consumer.getmany(timeout_ms=1000)
        now = time.monotonic()
        for records in polled.values():
            for record in records:
                received.setdefault(int.from_bytes(record.key), now)
        if polled:
            await consumer.commit()
    return received


if __name__ == "__main__":
    carry_out(Plan, run, sys.argv[1:])
