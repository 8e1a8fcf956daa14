"""Starts and stops Kafka clients without interruption: half-started ones leave sockets open."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from chassis.cancellation import closed_by, result_of, to_the_end
from chassis.library_internals.aiokafka import close_client

# For clients that must soon see an added partition; aiokafka's default is five minutes.
METADATA_MS = 10_000

_START_SECONDS = 1.0
_STOP_SECONDS = 10.0


async def start(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Start `client`; if this task is cancelled, let the start run on for up to 1 second.

    The caller stops the client in any case.

    Raises:
        aiokafka.errors.KafkaError: no broker responds, or the broker refuses this client.
    """
    starting = asyncio.ensure_future(client.start())
    try:
        await result_of(starting)
    except asyncio.CancelledError:
        await to_the_end(_settle(starting, _START_SECONDS))
        raise


def stopping(consumer: AIOKafkaConsumer) -> AbstractAsyncContextManager[None]:
    """Stop `consumer` when the block is left, even if cancelled; cancel the stop after 10 s."""
    return closed_by(lambda: _stop(consumer))


async def _stop(consumer: AIOKafkaConsumer) -> None:
    stopping = asyncio.ensure_future(consumer.stop())
    await _settle(stopping, _STOP_SECONDS)
    if stopping.cancelled():
        # Cancelled by us, or by itself: if Kafka is unavailable, stop() awaits fetches that it has
        # cancelled. It then leaves behind a client that would look for brokers for ever.
        await close_client(consumer)
        return
    error = stopping.exception()
    if error is not None and not isinstance(error, KafkaError | TimeoutError):
        raise error


async def _settle(task: asyncio.Future[Any], seconds: float) -> None:
    """Wait for `task`, and cancel it after `seconds`; the caller handles what it raised."""
    await asyncio.wait([task], timeout=seconds)
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # or asyncio logs that it was never retrieved
