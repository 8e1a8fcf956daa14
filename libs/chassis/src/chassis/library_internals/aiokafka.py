"""Private parts of aiokafka's clients, and its protocol's messages.

aiokafka has no public way to close a client that has lost its brokers, to wait for a commit that
was cancelled, to learn of which partitions messages have arrived, to learn that the cluster has no
controller, nor to send a request for which it has no method.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NotControllerError
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
    "create_topics",
    "fetched_partitions",
    "next_fetch",
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


def next_fetch(consumer: AIOKafkaConsumer) -> asyncio.Future[None]:
    """Return a future that ends when messages have arrived from Kafka after this call.

    It has aiokafka's error if the client can't go on; ``getmany`` raises that error as well.
    """
    waiter: asyncio.Future[None] = consumer._fetcher._create_fetch_waiter()
    return waiter


def fetched_partitions(consumer: AIOKafkaConsumer) -> list[TopicPartition]:
    """Return the partitions of which messages, or an error, wait to be taken by ``getmany``."""
    return list(consumer._fetcher._records)


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


async def create_topics(admin: AIOKafkaAdminClient, topics: Sequence[NewTopic]) -> Response:
    """Create topics by a request to the controller, and return the response.

    Raises:
        NotControllerError: the brokers know of no controller, as while one is elected, or of no
            broker that is not fenced. aiokafka would raise AttributeError.
    """
    try:
        return await admin.create_topics(list(topics))
    except AttributeError as error:
        if admin._client.cluster.controller is not None:
            raise
        message = "The cluster has no controller at the moment."
        raise NotControllerError(message) from error


async def send_request(admin: AIOKafkaAdminClient, request: Request[RequestStruct]) -> Response:
    """Send any broker a request for which the admin client has no method; return the response."""
    return await admin._send_request(request)
