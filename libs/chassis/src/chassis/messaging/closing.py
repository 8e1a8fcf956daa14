"""Stops a client of Kafka to the end: cancelled half-way, it would leave its sockets open."""

import asyncio
from contextlib import suppress

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

_STOP_SECONDS = 10.0


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop `consumer`, within some seconds where Kafka is away, even if cancelled meanwhile."""
    stopping = asyncio.ensure_future(_stop(consumer))
    try:
        await asyncio.shield(stopping)
    except asyncio.CancelledError:
        await stopping
        raise


async def _stop(consumer: AIOKafkaConsumer) -> None:
    with suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(_STOP_SECONDS):
            await consumer.stop()
