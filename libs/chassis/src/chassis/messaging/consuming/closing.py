"""Stops a client of Kafka to the end: cancelled half-way, it would leave its sockets open."""

import asyncio

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
    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait([stopping], timeout=_STOP_SECONDS)
    if not stopping.done():
        stopping.cancel()
        await asyncio.wait([stopping])
    if stopping.cancelled():
        # Where Kafka is away it also cancels itself: it awaits the fetches that it has cancelled,
        # and leaves its client behind, which would look for brokers for ever.
        await consumer._client.close()  # noqa: SLF001 - there is no other way to it
        return
    error = stopping.exception()
    if error is not None and not isinstance(error, KafkaError | TimeoutError):
        raise error
