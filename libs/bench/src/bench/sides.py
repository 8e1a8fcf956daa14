"""The sides of the backbone's rows, each in a process of its own that measures itself.

``python -m bench.sides SIDE SECONDS`` reads the addresses from the environment and prints JSON:
operations, seconds, CPU, and all operations since its start.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from bench.events import ORM_SUBSCRIPTIONS, SERVICE, SUBSCRIPTIONS, TOPIC, ThingMoved
from bench.window import watch
from chassis.database import Connector, Database, DatabaseSettings, new_id
from chassis.health import Health
from chassis.messaging import Consumer, KafkaConnection, Relay, Subscriptions
from chassis.messaging.consuming.batch import BatchRunner
from chassis.messaging.consuming.handling import Handling
from chassis.messaging.consuming.lag import GroupLag
from chassis.messaging.consuming.watchdog import Watchdog
from chassis.messaging.events import cloud_event_headers
from chassis.messaging.metrics import ConsumerMetrics, RelayMetrics
from chassis.settings import Environment

PLACE = "at the slipway, in the third row, under the crane"
THINGS = 1000
_TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}
_BATCH = 1000

type Counter = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Places:
    """The servers' addresses."""

    database_url: str
    kafka: KafkaConnection

    @classmethod
    def from_environment(cls) -> "Places":
        """Return the addresses that the row passed in the environment."""
        return cls(
            os.environ["DATABASE_URL"],
            KafkaConnection(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"]),
        )


async def timed(work: Coroutine[Any, Any, None], done: Counter, seconds: float) -> dict[str, float]:
    """Run `work` and measure it from its first operation on."""

    async def count() -> float:
        return done()

    task = asyncio.create_task(work)
    try:
        sample = await watch(count, time.process_time, seconds, work=task)
        return {**asdict(sample), "all": done()}
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def relay(places: Places, seconds: float) -> dict[str, float]:
    """Run the relay on a filled outbox."""
    registry = CollectorRegistry()
    one = Relay(
        service=SERVICE,
        connector=Connector.to(places.database_url),
        kafka=places.kafka,
        metrics=RelayMetrics(registry),
    )

    def published() -> float:
        return registry.get_sample_value("outbox_published_total", {"topic": TOPIC.name}) or 0.0

    return await timed(one.run(), published, seconds)


async def consumer(
    places: Places, seconds: float, *, subscriptions: Subscriptions[Any] = SUBSCRIPTIONS
) -> dict[str, float]:
    """Run the consumer in a new consumer group."""
    registry = CollectorRegistry()
    metrics, health = ConsumerMetrics(registry), Health()
    service = f"{SERVICE}-{uuid4().hex}"
    settings = DatabaseSettings(
        environment=Environment.DEVELOPMENT, database_url=SecretStr(places.database_url)
    )

    def met() -> float:
        labels = {"topic": TOPIC.name, "outcome": "done"}
        return registry.get_sample_value("consumer_messages_total", labels) or 0.0

    async with Database(settings=settings, application_name=service).opened() as database:
        handling = Handling(service=service, subscriptions=subscriptions, resources=None)
        runner = BatchRunner(service=service, database=database, handling=handling, metrics=metrics)
        lag = GroupLag(kafka=places.kafka, group=service, topics=[TOPIC.name], metrics=metrics)
        one = Consumer(
            service=service,
            kafka=places.kafka,
            runner=runner,
            watchdog=Watchdog(lag=lag, database=database, metrics=metrics, health=health),
            metrics=metrics,
            health=health,
        )
        return await timed(one.run(), met, seconds)


async def plain_producer(places: Places, seconds: float) -> dict[str, float]:
    """Run a plain loop of aiokafka's producer, idempotent like the relay's."""
    number = 0

    async def produce() -> None:
        nonlocal number
        producer = AIOKafkaProducer(
            **places.kafka.options, enable_idempotence=True, acks="all", linger_ms=5
        )
        await producer.start()
        try:
            messages = count()
            while True:
                sent = [await _send(producer, next(messages)) for _ in range(_BATCH)]
                await asyncio.gather(*sent)
                number += len(sent)
        finally:
            await producer.stop()

    return await timed(produce(), lambda: number, seconds)


async def fill(places: Places, number: float) -> dict[str, float]:
    """Publish this number of events to the topic."""
    producer = AIOKafkaProducer(**places.kafka.options, acks="all", linger_ms=5)
    await producer.start()
    began = time.monotonic()
    for start in range(0, int(number), _BATCH):
        sent = [await _send(producer, start + place) for place in range(_BATCH)]
        await asyncio.gather(*sent)
    await producer.stop()
    seconds, cpu = time.monotonic() - began, time.process_time()
    return {"operations": number, "all": number, "seconds": seconds, "cpu": cpu}


async def _send(producer: AIOKafkaProducer, number: int) -> Awaitable[Any]:
    thing = UUID(int=number % THINGS + 1)
    event = ThingMoved(version=number // THINGS + 1, thing_id=thing, place=PLACE)
    headers = cloud_event_headers(event, event_id=new_id(), source=f"/{SERVICE}", trace=_TRACE)
    sent: Awaitable[Any] = await producer.send(
        TOPIC.name,
        event.to_json(),
        key=event.key.encode(),
        headers=[(name, value.encode()) for name, value in headers.items()],
    )
    return sent


async def plain_consumer(places: Places, seconds: float) -> dict[str, float]:
    """Run a plain loop of aiokafka's consumer that commits each batch."""
    number = 0

    async def consume() -> None:
        nonlocal number
        consumer = AIOKafkaConsumer(
            TOPIC.name,
            **places.kafka.options,
            group_id=f"plain-{uuid4().hex}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            while True:
                batches = await consumer.getmany(timeout_ms=1000, max_records=_BATCH)
                if batches:
                    await consumer.commit()
                number += sum(len(records) for records in batches.values())
        finally:
            await consumer.stop()

    return await timed(consume(), lambda: number, seconds)


SIDES: dict[str, Callable[[Places, float], Coroutine[Any, Any, dict[str, float]]]] = {
    "relay": relay,
    "consumer": consumer,
    "consumer-orm": partial(consumer, subscriptions=ORM_SUBSCRIPTIONS),
    "plain-producer": plain_producer,
    "plain-consumer": plain_consumer,
    "fill": fill,
}


def main() -> None:
    """Run one side."""
    name, figure = sys.argv[1:]
    found = uvloop.run(SIDES[name](Places.from_environment(), float(figure)))
    print(json.dumps(found))  # noqa: T201 - for the row


if __name__ == "__main__":
    main()
