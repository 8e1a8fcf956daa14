"""Dead letters: operators list, redrive and discard them. Each action is recorded.

A queue of parked messages is changed under its row's lock FOR UPDATE. The lock waits for a retry of
the queue's head and for those who append; see ``chassis.messaging.consuming.parking``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from prometheus_client import Counter
from sqlalchemy import select

from chassis.database.unit import Unit
from chassis.errors import Conflict, NotFound
from chassis.messaging.consuming.inbox import DISCARDED, Inbox
from chassis.messaging.consuming.parking import DEAD, RETRYING, UNKNOWN, Parking
from chassis.paging import (
    BigSerial,
    ListOrder,
    PageRequest,
    PageRows,
    Position,
    subquery_of,
)

REDRIVEN = "redriven"
STATES = (DEAD, UNKNOWN, RETRYING)

_LETTER = """
    SELECT k.id AS queue, k.state, k.blocking, k.next_attempt_at, k.key, m.seq, m.topic,
           m.partition, m.log_offset, m.source, m.id AS message_id, m.type, m.attempts, m.error,
           m.sent_at, m.parked_at, m.attempted_at, m.headers, m.payload,
           (SELECT count(*) FROM parked_messages AS w
            WHERE w.parked_key_id = k.id AND w.seq > m.seq) AS behind,
           (SELECT count(*) FROM parked_messages AS w
            WHERE w.parked_key_id = k.id AND w.seq < m.seq) AS before
"""
_FIND = f"""
    {_LETTER}
    FROM parked_messages AS m JOIN parked_keys AS k ON k.id = m.parked_key_id
    WHERE m.seq = $1 AND k.consumer = $2
"""
_FORGET_ATTEMPTS = "UPDATE parked_messages SET attempts = 0 WHERE seq = $1"
_RECORD = """
    INSERT INTO dead_letter_actions (actor, action, reason, topic, key, type, source, message_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


class DeadLetterNotFound(NotFound):
    """No such message is parked."""


class NotHead(Conflict):
    """An earlier message of the same key comes first.

    Only the head of a queue can be tried or discarded.
    """

    name = "not-the-head-of-its-key"


class BeingTried(Conflict):
    """The message is being tried now.

    Its queue stayed locked for longer than the request waits.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Filter for dead letters; None matches any."""

    states: Sequence[str] = (DEAD, UNKNOWN)
    topic: str | None = None
    type: str | None = None
    key: str | None = None
    error: str | None = None
    min_age: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A parked message; ``behind`` and ``before`` count the others of its queue."""

    queue: int
    state: str
    blocking: bool
    next_attempt_at: datetime | None
    seq: int
    topic: str
    partition: int
    log_offset: int
    source: str
    message_id: str
    type: str | None
    key: str | None
    attempts: int
    error: str | None
    sent_at: datetime | None
    parked_at: datetime
    attempted_at: datetime | None
    headers: Sequence[tuple[str, str | None]]
    payload: bytes | None
    behind: int
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Who acts, and why."""

    actor: str
    reason: str


class QueuePosition(Position):
    """The position of a dead letter in the list: its queue, of which it is the head."""

    queue: BigSerial


_LISTED = subquery_of(
    f"""
    {_LETTER}
    FROM parked_keys AS k
    CROSS JOIN LATERAL (
        SELECT * FROM parked_messages WHERE parked_key_id = k.id ORDER BY seq LIMIT 1
    ) AS m
    WHERE k.consumer = :consumer AND k.state = ANY (:states)
      AND (cast(:topic AS text) IS NULL OR k.topic = :topic)
      AND (cast(:type AS text) IS NULL OR m.type = :type)
      AND (cast(:key AS text) IS NULL OR k.key = :key)
      AND (cast(:error AS text) IS NULL OR strpos(lower(m.error), lower(:error)) > 0)
      AND m.parked_at <= now() - cast(:min_age AS interval)
    """,  # noqa: S608 - of constants
    DeadLetter,
)
# A queue's number rises with the time at which it was opened.
_OLDEST_FIRST = ListOrder(QueuePosition, _LISTED.c.queue)


class DeadLetters:
    """The dead letters of one consumer.

    Args:
        consumer: the service's name.
        counter: counts actions by kind.
    """

    def __init__(self, *, consumer: str, counter: Counter) -> None:
        self._consumer = consumer
        self._counter = counter
        self._inbox = Inbox(consumer=consumer)
        self._parking = Parking(consumer=consumer)

    async def page(
        self, unit: Unit, wanted: PageRequest[QueuePosition], *, only: Filter
    ) -> PageRows[DeadLetter, QueuePosition]:
        """Return the heads of queues, in the order in which the queues were opened."""
        values = {
            "consumer": self._consumer,
            "states": list(only.states),
            "topic": only.topic,
            "type": only.type,
            "key": only.key,
            "error": only.error,
            "min_age": only.min_age,
        }
        rows = await unit.session.execute(_OLDEST_FIRST.bounded(select(_LISTED), wanted), values)
        return _OLDEST_FIRST.cut([_letter(row) for row in rows.mappings()], wanted)

    async def get(self, unit: Unit, seq: int) -> DeadLetter:
        """Return one parked message, whether a head or not, or raise DeadLetterNotFound."""
        found = await unit.fetch(_FIND, seq, self._consumer)
        if not found:
            message = (
                f"{self._consumer} has no parked message {seq}. It was handled or discarded, or "
                "never existed. List the dead letters."
            )
            raise DeadLetterNotFound(message)
        return _letter(dict(found[0]))

    async def redrive(self, unit: Unit, seq: int, action: Action) -> DeadLetter:
        """Retry the head of a queue at once, with all its attempts again; return its old state.

        It keeps its place in the queue, in case it fails again.

        Raises:
            DeadLetterNotFound: see ``get``.
            NotHead: an earlier message of its key comes first.
            BeingTried: a retry holds the queue's lock for too long.
        """
        letter = await self._take(unit, seq)
        if letter.before:
            message = (
                f"Message {seq} waits behind {letter.before} earlier ones of its key "
                f"{letter.key!r}. Redrive or discard the first of them."
            )
            raise NotHead(message)
        await unit.execute(_FORGET_ATTEMPTS, seq)
        await self._parking.reschedule(unit, letter.queue, state=RETRYING)
        await self._record(unit, letter, REDRIVEN, action)
        return letter

    async def discard(self, unit: Unit, seq: int, action: Action) -> DeadLetter:
        """Give a message up: it takes no effect, even if delivered again; return its old state.

        Messages behind it go on at once.

        Raises:
            DeadLetterNotFound: see ``get``.
            BeingTried: a retry holds the queue's lock for too long.
        """
        letter = await self._take(unit, seq)
        await self._parking.remove(unit, seq)
        await self._inbox.settle(unit, letter.source, letter.message_id, DISCARDED)
        if not letter.before:
            # Reschedule even an empty queue: the retry loop closes it, in a separate transaction.
            await self._parking.reschedule(unit, letter.queue, state=RETRYING)
        await self._record(unit, letter, DISCARDED, action)
        return letter

    async def _take(self, unit: Unit, seq: int) -> DeadLetter:
        """Lock a message's queue; return the message as it is under the lock."""
        letter = await self.get(unit, seq)
        try:
            await self._parking.lock(unit, letter.queue)
        except asyncpg.LockNotAvailableError as error:
            message = f"Message {seq} or one before it is being handled now. Try again in a moment."
            raise BeingTried(message) from error
        return await self.get(unit, seq)

    async def _record(self, unit: Unit, letter: DeadLetter, action: str, by: Action) -> None:
        await unit.execute(
            _RECORD,
            by.actor,
            action,
            by.reason,
            letter.topic,
            letter.key,
            letter.type,
            letter.source,
            letter.message_id,
        )
        unit.after_commit(self._counter.labels(action).inc)


def _letter(row: Mapping[Any, Any]) -> DeadLetter:
    headers = row["headers"]
    if isinstance(headers, str):
        headers = json.loads(headers)
    return DeadLetter(**{**row, "headers": headers})
