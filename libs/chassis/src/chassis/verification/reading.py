"""Writes the facts of one service: its rows, its outbox, and the topics that it writes or reads.

The order of reading makes work in progress harmless, since a change commits before its event is
published, the relay deletes a row of the outbox after Kafka acknowledged it, and a consumer commits
an offset after the effect:

1. the ends of the topics (``early`` events are below them), and the group's committed offsets;
2. the consumed events below those offsets, with their rows in the inbox;
3. the effects, then the excuses; the rows of aggregates, then causes and excuses; then the outbox;
4. the ends of the topics again, and the events up to there.

So an early event has its change in the rows, a row has its event in the outbox or below the second
ends, and an event that the inbox calls handled has its effect in the rows.
"""

import hashlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import ConsumerRecord

from chassis.database.database import Database
from chassis.messaging.events import (
    MessageFormatError,
    PublicEvent,
    ReceivedMessage,
    read_message,
)
from chassis.verification.declared import Aggregate, Effect, Rows, Verification, first_id_at
from chassis.verification.facts import Fact, Kind
from chassis.verification.pace import Pace
from chassis.verification.topics import PAGE, Offsets, Topics

MARGIN_SECONDS = 60.0
"""By how much clocks may differ, and the time of a change from that of its event."""

_BY_TIME = 7  # the version of UUIDs that are in the order of their times
_READ_ONLY = "SET TRANSACTION READ ONLY"
_OUTBOX = """
    SELECT seq AS position, topic, key, headers, payload FROM outbox
    WHERE seq > $1 AND topic = ANY ($3::text[]) AND created_at <= $4 ORDER BY seq LIMIT $2
"""
_NOW = "SELECT clock_timestamp() AS now"
_OUTCOMES = """
    SELECT id, outcome FROM inbox
    WHERE consumer = $1 AND source = ANY ($2::text[]) AND id = ANY ($3::text[])
"""
# A message that a person has redriven may be older than its row in the inbox is kept.
_KNOWN = """
    SELECT id FROM inbox WHERE consumer = $1 AND id = ANY ($2::text[])
    UNION SELECT message_id FROM dead_letter_actions WHERE message_id = ANY ($2::text[])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bounds:
    """The offsets of one topic before the rows are read; `committed` is that of the group."""

    starts: Offsets
    ends: Offsets
    committed: Offsets


class FactReader:
    """Reads the facts of one service.

    Args:
        service: its name.
        declared: what it offers.
        database: its database, with its own role.
        topics: its topics, with its own principal.
        pace: how fast rows are read.
        page: how many rows a statement returns.
    """

    def __init__(
        self,
        *,
        service: str,
        declared: Verification,
        database: Database,
        topics: Topics,
        pace: Pace,
        page: int = PAGE,
    ) -> None:
        self._service = service
        self._declared = declared
        self._database = database
        self._topics = topics
        self._pace = pace
        self._page = page
        self._first: dict[str, float] = {}
        self._began = time.time()
        events = [
            *(event for one in declared.aggregates for event in one.events),
            *(event for one in declared.effects for event in one.of),
        ]
        self._announced = _topics_of(event for one in declared.aggregates for event in one.events)
        # Each topic that is read, and for how many seconds it keeps events.
        self._retentions: Mapping[str, float] = {
            one.topic.name: one.topic.retention.total_seconds() for one in events
        }

    async def facts(self) -> AsyncIterator[Fact]:
        """Yield all facts, in the order that the module describes; the last is of kind END."""
        self._began = time.time()
        bounds = {topic: await self._bounds(topic) for topic in self._retentions}
        effects, aggregates = self._declared.effects, self._declared.aggregates
        rows = [
            *(self._handled(one, bounds) for one in effects),
            *(self._effects(one) for one in effects),
            *(self._rows(one) for one in aggregates),
            self._unsent(),
        ]
        async for fact in _one_after_the_other(rows):
            yield fact
        ends = {topic: await self._topics.ends(topic) for topic in bounds}
        events = [
            *(self._present(one, bounds, ends) for one in effects),
            self._published(bounds, ends),
        ]
        async for fact in _one_after_the_other(events):
            yield fact
        for fact in self._windows():
            yield fact
        yield Fact(group=self._service, key="", kind=Kind.END)

    def _group(self, declared: Aggregate | Effect) -> str:
        return f"{self._service}/{declared.name}"

    @property
    def _horizon(self) -> float:
        """Before it, nothing is compared: seconds since the epoch."""
        return self._began - max(self._retentions.values()) - 2 * MARGIN_SECONDS

    async def _bounds(self, topic: str) -> _Bounds:
        starts = await self._topics.starts(topic)
        committed = await self._topics.committed(topic)
        ends = await self._topics.ends(topic)
        # A topic that was made anew ends before the group's offset.
        behind = {one: min(offset, ends[one]) for one, offset in committed.items()}
        return _Bounds(starts=starts, ends=ends, committed=behind)

    async def _handled(self, effect: Effect, bounds: Mapping[str, _Bounds]) -> AsyncIterator[Fact]:
        """Yield the events that the consumer has passed, with what the inbox has of each."""
        for topic in _topics_of(effect.of):
            places = bounds[topic]
            async for records in self._topics.read(places.starts, places.committed):
                messages = self._messages(topic, places.starts, records)
                wanted = list(_of(messages, effect))
                sources = list({one.source for one, _ in wanted})
                rows = await self._fetch(
                    _OUTCOMES, self._service, sources, [one.id for one, _ in wanted]
                )
                outcomes = {row["id"]: row["outcome"] for row in rows}
                for message, key in wanted:
                    yield Fact(
                        group=self._group(effect),
                        key=key,
                        kind=Kind.HANDLED,
                        member=message.id,
                        type=message.type,
                        at=_written(message),
                        outcome=outcomes.get(message.id),
                    )

    async def _present(
        self, effect: Effect, bounds: Mapping[str, _Bounds], ends: Mapping[str, Offsets]
    ) -> AsyncIterator[Fact]:
        """Yield the events that the consumer may have handled since."""
        for topic in _topics_of(effect.of):
            places = bounds[topic]
            begins = {one: max(at, places.starts[one]) for one, at in places.committed.items()}
            async for records in self._topics.read(begins, ends[topic]):
                messages = self._messages(topic, places.starts, records)
                for message, key in _of(messages, effect):
                    yield Fact(
                        group=self._group(effect), key=key, kind=Kind.PRESENT, member=message.id
                    )

    async def _effects(self, effect: Effect) -> AsyncIterator[Fact]:
        group = self._group(effect)
        async for page in self._pages(effect.rows):
            ids = [row["event_id"] for row in page]
            known = {row["id"] for row in await self._fetch(_KNOWN, self._service, ids)}
            for row in page:
                yield Fact(
                    group=group,
                    key=row["key"],
                    kind=Kind.EFFECT,
                    member=row["event_id"],
                    at=row["at"].timestamp(),
                    outcome="known" if row["event_id"] in known else None,
                )
        async for fact in self._excuses(group, effect.excused):
            yield fact

    async def _rows(self, aggregate: Aggregate) -> AsyncIterator[Fact]:
        group = self._group(aggregate)
        async for row in self._each(aggregate.rows):
            yield Fact(
                group=group,
                key=row["key"],
                kind=Kind.ROW,
                member=row["subject"],
                number=row["version"],
                at=row["changed_at"].timestamp(),
                since=row["created_at"].timestamp(),
                level=row["level"] if aggregate.level else None,
            )
        horizon = self._horizon
        async for row in self._each(aggregate.causes):
            at = row["at"].timestamp()
            if at >= horizon:
                yield Fact(
                    group=group,
                    key=row["key"],
                    kind=Kind.CAUSE,
                    member=row["subject"],
                    number=row["delta"],
                    at=at,
                )
        async for fact in self._excuses(group, aggregate.excused):
            yield fact

    async def _excuses(self, group: str, rows: Rows | None) -> AsyncIterator[Fact]:
        async for row in self._each(() if rows is None else (rows,)):
            yield Fact(group=group, key=row["key"], kind=Kind.EXCUSE)

    async def _unsent(self) -> AsyncIterator[Fact]:
        now = (await self._fetch(_NOW))[0]["now"]
        async for page in self._pages(Rows(sql=_OUTBOX, start=0), self._announced, now):
            for row in page:
                message = read_message(
                    topic=row["topic"],
                    partition=0,
                    offset=0,
                    key=row["key"].encode(),
                    headers=[(name, value.encode()) for name, value in row["headers"].items()],
                    value=row["payload"],
                )
                for fact in self._event_facts(row["topic"], message, place=None, early=False):
                    yield fact

    async def _published(
        self, bounds: Mapping[str, _Bounds], ends: Mapping[str, Offsets]
    ) -> AsyncIterator[Fact]:
        for topic in self._announced:
            early = {(at.topic, at.partition): end for at, end in bounds[topic].ends.items()}
            async for records in self._topics.read(bounds[topic].starts, ends[topic]):
                for message in self._messages(topic, bounds[topic].starts, records):
                    before = message.offset < early.get((message.topic, message.partition), 0)
                    for fact in self._event_facts(
                        topic, message, place=message.offset, early=before
                    ):
                        yield fact

    def _event_facts(
        self, topic: str, message: ReceivedMessage, *, place: int | None, early: bool
    ) -> Iterator[Fact]:
        for aggregate in self._declared.aggregates:
            for event in aggregate.events:
                if event.type != message.type or event.topic.name != topic:
                    continue
                yield Fact(
                    group=self._group(aggregate),
                    key=message.key or "",
                    kind=Kind.EVENT,
                    member=message.subject or "",
                    number=message.sequence,
                    level=_level(aggregate, event, message),
                    at=_written(message),
                    id=message.id,
                    type=message.type,
                    digest=hashlib.sha256(message.value).hexdigest()[:32],
                    partition=message.partition,
                    place=place,
                    early=early,
                    snapshot=bool(getattr(event, "snapshot", False)),
                    ended=event in aggregate.ended_by,
                )

    def _messages(
        self, topic: str, starts: Offsets, records: Sequence[ConsumerRecord]
    ) -> Iterator[ReceivedMessage]:
        """Yield our CloudEvents; note from when on a topic that was cut has its events."""
        cut = {(one.topic, one.partition) for one, start in starts.items() if start}
        for record in records:
            if (record.topic, record.partition) in cut:
                cut.discard((record.topic, record.partition))
                first = f"{topic}/{record.partition}"
                self._first.setdefault(first, record.timestamp / 1000)
            try:
                yield read_message(
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    key=record.key,
                    headers=record.headers,
                    value=record.value or b"",
                )
            except MessageFormatError:
                continue  # consumers park it, and report it

    def _windows(self) -> Iterator[Fact]:
        """Yield from when on each change must have its event, for each group."""
        each: list[Aggregate | Effect] = [*self._declared.aggregates, *self._declared.effects]
        for declared in each:
            events = declared.events if isinstance(declared, Aggregate) else declared.of
            topics = _topics_of(events)
            begins = [self._began - self._retentions[topic] for topic in topics]
            begins += [
                first for place, first in self._first.items() if place.rpartition("/")[0] in topics
            ]
            group = self._group(declared)
            yield Fact(group=group, key="", kind=Kind.WINDOW, at=max(begins) + MARGIN_SECONDS)

    async def _each(self, several: Iterable[Rows]) -> AsyncIterator[asyncpg.Record]:
        for rows in several:
            async for page in self._pages(rows):
                for row in page:
                    yield row

    async def _pages(self, rows: Rows, *more: object) -> AsyncIterator[list[asyncpg.Record]]:
        """Yield the rows of a table; those that were inserted since are not needed.

        Without an end, reading would follow a table that grows faster than the pace allows.
        """
        position: object = first_id_at(self._horizon) if rows.recent else rows.start
        end = first_id_at(self._began + MARGIN_SECONDS)
        while found := await self._fetch(rows.sql, position, self._page, *more):
            position = found[-1]["position"]
            yield [row for row in found if row["key"] is not None]
            if isinstance(position, UUID) and position.version == _BY_TIME and position > end:
                return

    async def _fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Run one statement in a transaction of its own, which can change nothing."""
        async with self._database.transaction() as unit:
            await unit.execute_first(_READ_ONLY)
            found = await unit.fetch(sql, *arguments)
        await self._pace.read(len(found))
        return found


def _topics_of(events: Iterable[type[PublicEvent]]) -> list[str]:
    return sorted({event.topic.name for event in events})


async def _one_after_the_other(parts: Iterable[AsyncIterator[Fact]]) -> AsyncIterator[Fact]:
    for part in parts:
        async for fact in part:
            yield fact


def _of(
    messages: Iterable[ReceivedMessage], effect: Effect
) -> Iterator[tuple[ReceivedMessage, str]]:
    """Yield the messages that should have the effect, each with its key there."""
    types: dict[str, Any] = {event.type: event for event in effect.of}
    for message in messages:
        if message.type in types:
            try:
                key = effect.key(types[message.type].from_json(message.value))
            except ValueError:
                continue  # it does not fit its contract: it is dead, as the consumer reports
            yield message, key


def _level(aggregate: Aggregate, event: type[PublicEvent], message: ReceivedMessage) -> int | None:
    if aggregate.level is None:
        return None
    try:
        return aggregate.level(event.from_json(message.value))
    except ValueError:  # another content than was published: its digest shows that
        return None


def _written(message: ReceivedMessage) -> float:
    moment = message.time or datetime.now(UTC)
    return moment.timestamp()
