"""Private parts of aiokafka's clients, and its protocol's messages.

aiokafka has no public way to close a client that has lost its brokers, to wait for a commit that
was cancelled, nor to send a request for which it has no method.
"""

import asyncio
import contextlib

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

# BatchBuilder: the return type of `create_batch`. ConfigResource: the argument of
# `describe_configs`. The others declare a request that aiokafka does not have.
__all__ = [
    "Array",
    "BatchBuilder",
    "Boolean",
    "ConfigResource",
    "ConfigResourceType",
    "Int8",
    "Int16",
    "Int32",
    "Request",
    "RequestStruct",
    "Response",
    "Schema",
    "String",
    "close_client",
    "close_without_flush",
    "retrieve_errors_of_commits",
    "send_request",
]


async def close_client(consumer: AIOKafkaConsumer) -> None:
    """Close the connections of a consumer whose `stop` was cancelled before it closed them."""
    await consumer._client.close()


def retrieve_errors_of_commits(consumer: AIOKafkaConsumer) -> None:
    """Have the request of a cancelled commit fail without a trace; nobody waits for it any more.

    aiokafka shields the request from the cancellation, and asyncio would log its error, with a
    stack, as one that was never retrieved.

    Args:
        consumer: a started member of a group.
    """
    coordinator = consumer._coordinator
    send = coordinator._do_commit_offsets

    def sent(*arguments: object) -> asyncio.Task[None]:
        sending: asyncio.Task[None] = asyncio.ensure_future(send(*arguments))
        sending.add_done_callback(lambda done: done.cancelled() or done.exception())
        return sending

    coordinator._do_commit_offsets = sent


async def close_without_flush(producer: AIOKafkaProducer, *, seconds: float) -> None:
    """Close `producer`, and drop the batches that no broker has acknowledged.

    `stop` would flush first, and an idempotent producer retries a batch without limit.

    Args:
        producer: a started producer.
        seconds: how long its sending task may take to end.
    """
    producer._closed = True  # otherwise its finalizer warns that it was never closed
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await producer._sender.close()
    await producer.client.close()


async def send_request(admin: AIOKafkaAdminClient, request: Request[RequestStruct]) -> Response:
    """Send any broker a request for which the admin client has no method; return the response."""
    return await admin._send_request(request)
