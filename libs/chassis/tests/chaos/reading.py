"""Reads histories from the databases and the topics, and reports what is still in progress."""

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
    """Knows the locations of the histories.

    Attributes:
        ledger: the URL of the producer's schema.
        tally: the URL of the consumer's schema.
        kafka: the broker's own address, which bypasses the proxy.
        partitions: the number of partitions of each topic.
    """

    ledger: str
    tally: str
    kafka: str
    partitions: int

    async def accounts(self) -> History:
        """Return the history from the ledger's transactions to the tally's effects."""
        return History(
            committed=await _events(self.ledger, _COMMITS),
            outbox=await _events(self.ledger, _OUTBOX),
            topic=await self._topic("accounts"),
            effects=[
                Effect(Event(*event), before)
                for *event, before in await fetch(self.tally, _EFFECTS)
            ],
            parked=await self._parked(),
            doomed=DOOMED,
        )

    async def receipts(self) -> History:
        """Return the history from the tally's effects to the events that it publishes for them."""
        return History(
            committed=await _events(self.tally, _RECEIPTS),
            outbox=await _events(self.tally, _OUTBOX),
            topic=await self._topic("receipts"),
        )

    async def effects(self) -> list[Event]:
        """Return the effects so far."""
        return await _events(self.tally, _SEEN)

    async def in_progress(self) -> list[str]:
        """Describe what is still in progress. An empty result means that nothing is."""
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
            for key, state, filled, event_id, version in await fetch(self.tally, _PARKED)
        ]

    async def _topic(self, name: str) -> list[Published]:
        """Read a whole topic from its start, which no consumer of the system does."""
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
    return [Event(*row) for row in await fetch(url, sql)]


async def fetch(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, on a connection of its own."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()
