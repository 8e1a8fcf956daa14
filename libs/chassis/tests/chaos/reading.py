"""Reads histories from the databases and the topics, and says what has not come to rest yet."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from .history import Effect, Event, History, Published, Waiting
from .services import DOOMED

_OUTBOX = """
    SELECT headers::jsonb ->> 'ce_subject', (headers::jsonb ->> 'ce_sequence')::bigint, id::text
    FROM outbox ORDER BY seq
"""
_COMMITS = "SELECT aggregate, version, event_id::text FROM commits"
_RECEIPTS = "SELECT aggregate, version, receipt_id::text FROM effects"
_SEEN = "SELECT aggregate, version, event_id::text FROM effects"
_EFFECTS = "SELECT aggregate, version, event_id::text, before FROM effects ORDER BY place"
_PARKED = """
    SELECT k.key, k.state, m.seq IS NOT NULL, m.id,
           (convert_from(m.payload, 'UTF8')::jsonb ->> 'version')::bigint
    FROM parked_keys AS k LEFT JOIN parked_messages AS m ON m.parked_key_id = k.id
    ORDER BY m.seq
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Where the histories are.

    Attributes:
        ledger: the address of the producer's schema.
        tally: the address of the consumer's schema.
        kafka: the broker's own address, past the proxy.
        partitions: of each topic.
    """

    ledger: str
    tally: str
    kafka: str
    partitions: int

    async def accounts(self) -> History:
        """From the ledger's transactions to the tally's effects."""
        return History(
            committed=await _events(self.ledger, _COMMITS),
            outbox=await _events(self.ledger, _OUTBOX),
            topic=await self._topic("accounts"),
            effects=[
                Effect(Event(*event), before)
                for *event, before in await _fetch(self.tally, _EFFECTS)
            ],
            parked=await self._parked(),
            doomed=DOOMED,
        )

    async def receipts(self) -> History:
        """From the tally's effects to what it announces in turn."""
        return History(
            committed=await _events(self.tally, _RECEIPTS),
            outbox=await _events(self.tally, _OUTBOX),
            topic=await self._topic("receipts"),
        )

    async def effects(self) -> list[Event]:
        """What has taken effect by now."""
        return await _events(self.tally, _SEEN)

    async def unrest(self) -> list[str]:
        """Say what is still on its way; nothing says that all has come to rest."""
        commits = await _events(self.ledger, _COMMITS)
        effects = set(await self.effects())
        parked = await self._parked()
        waiting = {one.event for one in parked}
        left: dict[str, Sequence[object]] = {
            "in the ledger's outbox": await _events(self.ledger, _OUTBOX),
            "in the tally's outbox": await _events(self.tally, _OUTBOX),
            "without an effect": [e for e in commits if e not in effects and e not in waiting],
            "parked": [
                one.event or f"an empty queue of {one.aggregate}"
                for one in parked
                if one.aggregate not in DOOMED or one.state != "dead"
            ],
        }
        return [
            f"{len(events)} {where}, such as {events[0]}"
            for where, events in left.items()
            if events
        ]

    async def _parked(self) -> list[Waiting]:
        return [
            Waiting(key, state, Event(key, version, event_id) if filled else None)
            for key, state, filled, event_id, version in await _fetch(self.tally, _PARKED)
        ]

    async def _topic(self, name: str) -> list[Published]:
        """Read a topic from its very beginning, as no consumer of the system does."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka, auto_offset_reset="earliest", group_id=None
        )
        await consumer.start()
        try:
            places = [TopicPartition(name, number) for number in range(self.partitions)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            found: list[Published] = []
            while any([await consumer.position(one) < end for one, end in ends.items()]):
                batches = await consumer.getmany(timeout_ms=500)
                found += [_published(record) for batch in batches.values() for record in batch]
        finally:
            await consumer.stop()
        return found


def _published(record) -> Published:
    headers = {name: value.decode() for name, value in record.headers}
    event = Event(headers["ce_subject"], int(headers["ce_sequence"]), headers["ce_id"])
    data = json.loads(record.value)
    assert data == {"aggregate": event.aggregate, "version": event.version}, record
    return Published(record.partition, record.offset, record.key.decode(), event)


async def _events(url: str, sql: str) -> list[Event]:
    return [Event(*row) for row in await _fetch(url, sql)]


async def _fetch(url: str, sql: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()
