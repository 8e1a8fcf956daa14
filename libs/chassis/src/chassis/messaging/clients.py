"""Starts and stops clients of Kafka to the end: cut off half-way, they leave sockets open."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

_START_SECONDS = 1.0
_STOP_SECONDS = 10.0


async def start(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Start `client`; one that is cancelled meanwhile is given a second to finish first.

    The caller stops it in any case.

    Raises:
        aiokafka.errors.KafkaError: no broker answers, or it refuses us.
    """
    starting = asyncio.ensure_future(client.start())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await to_the_end(_settle(starting, _START_SECONDS))
        raise


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop `consumer`, within some seconds where Kafka is away, even if cancelled meanwhile."""
    await to_the_end(_stop(consumer))


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do all of `work` however often it is cancelled meanwhile, which is raised after it."""
    working = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not working.done():
        try:
            await asyncio.wait([working])
        except asyncio.CancelledError as error:
            cancelled = error
    try:
        working.result()
    finally:
        if cancelled is not None:
            raise cancelled


async def _stop(consumer: AIOKafkaConsumer) -> None:
    stopping = asyncio.ensure_future(consumer.stop())
    await _settle(stopping, _STOP_SECONDS)
    if stopping.cancelled():
        # Where Kafka is away it also cancels itself: it awaits the fetches that it has cancelled,
        # and leaves its client behind, which would look for brokers for ever.
        await consumer._client.close()  # noqa: SLF001 - there is no other way to it
        return
    error = stopping.exception()
    if error is not None and not isinstance(error, KafkaError | TimeoutError):
        raise error


async def _settle(task: asyncio.Future[Any], seconds: float) -> None:
    """Wait for `task`, and cancel it when the time is over; what it raises is for the caller."""
    await asyncio.wait([task], timeout=seconds)
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # told as never retrieved otherwise
