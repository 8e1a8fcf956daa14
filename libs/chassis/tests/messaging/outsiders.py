"""What other clients may do to a topic: send undecodable data, leave a transaction open, delete."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.record.util import calc_crc32c

_NAME = b"no UTF-8"
_CRC = struct.Struct(">I")
_CRC_AT, _CHECKED_FROM = 17, 21


class _Spoilt:
    """Builds a batch with a header whose name is not UTF-8. Kafka accepts the batch."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._builder, name)

    def build(self) -> bytearray:
        data = bytearray(self._builder.build())
        at = data.index(_NAME)
        data[at : at + len(_NAME)] = b"\xff" * len(_NAME)
        _CRC.pack_into(data, _CRC_AT, calc_crc32c(bytes(data[_CHECKED_FROM:])))
        return data


@asynccontextmanager
async def producer_of(bootstrap_servers: str, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, **options)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send_undecodable(
    bootstrap_servers: str, topic: str, *, partition: int = 0, before: Any = (), after: Any = ()
) -> int:
    """Send one batch; `before` and `after` are (value, headers) of valid messages.

    Return the offset of the invalid message.
    """
    spoilt = (b"", [(_NAME.decode(), b"")])
    async with producer_of(bootstrap_servers) as producer:
        batch = producer.create_batch()
        for value, headers in (*before, spoilt, *after):
            batch.append(key=b"a", value=value, timestamp=None, headers=headers)
        batch._builder = _Spoilt(batch._builder)
        sent = await (await producer.send_batch(batch, topic, partition=partition))
    return int(sent.offset) + len(before)


@asynccontextmanager
async def transaction(bootstrap_servers: str) -> AsyncIterator[AIOKafkaProducer]:
    """Yield a producer whose transaction is open; the caller ends the transaction."""
    async with producer_of(bootstrap_servers, transactional_id=uuid4().hex) as producer:
        await producer.begin_transaction()
        yield producer


@asynccontextmanager
async def admin_of(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def delete_before(
    bootstrap_servers: str, topic: str, offset: int, partition: int = 0
) -> None:
    """Delete a partition's messages before an offset; -1 deletes all."""
    async with admin_of(bootstrap_servers) as admin:
        place = TopicPartition(topic, partition)
        await admin.delete_records({place: RecordsToDelete(before_offset=offset)})
