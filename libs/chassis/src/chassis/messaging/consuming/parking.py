"""Parking: a message that fails waits in a queue of its key, and later ones of the key behind it.

The row of the queue is locked. Appending takes FOR KEY SHARE, and retrying the head takes FOR NO
KEY UPDATE, so both can run at once. Closing takes FOR UPDATE, which waits for those who append. So
no message is put into a queue that was deleted.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from chassis.database.statements import Statements
from chassis.database.unit import Unit
from chassis.error_text import describe
from chassis.messaging.consuming.incoming import Incoming

RETRYING, DEAD, UNKNOWN = "retrying", "dead", "unknown"
_NO_TIME = -1  # what Kafka itself sends for a record without a time

_FIND = """
    SELECT id, key, state FROM parked_keys
    WHERE consumer = $1 AND topic = $2 AND blocking
      AND (key = ANY ($3::text[]) OR ($4 AND key IS NULL))
    FOR KEY SHARE
"""
_OPEN = """
    INSERT INTO parked_keys (consumer, topic, key, blocking, state, next_attempt_at)
    VALUES ($1, $2, $3, $4, $5::text,
            CASE WHEN $5 = 'retrying' THEN clock_timestamp() + $6::float8 * interval '1 second' END)
    ON CONFLICT (consumer, topic, key) WHERE blocking DO NOTHING
    RETURNING id
"""
_APPEND = """
    INSERT INTO parked_messages (parked_key_id, topic, partition, log_offset, source, id, type, key,
                                 headers, payload, sent_at, attempts, error, attempted_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::integer, $13,
            CASE WHEN $12 > 0 THEN clock_timestamp() END)
"""
_TAKE_DUE = """
    SELECT id, state, blocking FROM parked_keys
    WHERE consumer = $1 AND state = 'retrying' AND next_attempt_at <= clock_timestamp()
    ORDER BY next_attempt_at LIMIT 1
"""
_TAKE_LOCK = "FOR NO KEY UPDATE SKIP LOCKED"
_TAKE = "SELECT id, state, blocking FROM parked_keys WHERE id = $1 FOR NO KEY UPDATE"
_HEAD = "SELECT * FROM parked_messages WHERE parked_key_id = $1 ORDER BY seq LIMIT 1"
_OVERTAKING = """
    SELECT m.parked_key_id AS queue, m.seq
    FROM parked_keys AS k JOIN parked_messages AS m ON m.parked_key_id = k.id
    WHERE k.consumer = $1 AND k.state = 'dead' AND k.blocking
      AND m.attempts = 0 AND m.type = ANY ($2::text[])
    ORDER BY m.seq LIMIT 1
"""
_BY_SEQ = "SELECT * FROM parked_messages WHERE parked_key_id = $1 AND seq = $2"
_REMOVE = "DELETE FROM parked_messages WHERE seq = $1"
# Another process may have tried this message after our connection, and so our lock, was lost:
# count the attempt only if `attempts` is unchanged.
_COUNT_ATTEMPT = """
    UPDATE parked_messages
    SET attempts = attempts + 1, error = $3, attempted_at = clock_timestamp()
    WHERE seq = $1 AND attempts = $2
"""
_RESCHEDULE = """
    UPDATE parked_keys SET state = $2::text, next_attempt_at =
        CASE WHEN $2 = 'retrying' THEN clock_timestamp() + $3::float8 * interval '1 second' END
    WHERE id = $1
"""
_PULL_BACK = """
    UPDATE parked_keys SET next_attempt_at = clock_timestamp()
    WHERE id IN (
        SELECT id FROM parked_keys
        WHERE consumer = $1 AND state = 'retrying'
          AND next_attempt_at > clock_timestamp() + $2::interval
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    )
"""
_LOCK = "SELECT id FROM parked_keys WHERE id = $1 FOR UPDATE"
_OF_KEY = "SELECT id FROM parked_keys WHERE consumer = $1 AND key = $2 ORDER BY id"
_EMPTY = "DELETE FROM parked_messages WHERE parked_key_id = $1 RETURNING source, id"
_CLOSE = """
    DELETE FROM parked_keys AS k WHERE id = $1
      AND NOT EXISTS (SELECT FROM parked_messages WHERE parked_key_id = k.id)
"""
# SKIP LOCKED: a message that is being tried now is discarded by a later run, if it is still there.
# Only what the DELETE returns is discarded: a message may have taken effect between the snapshot of
# this statement and the lock. The queue is made due, so that the retry loop goes on, or closes it.
_DISCARD_OLD = """
    WITH found AS MATERIALIZED (
        SELECT m.seq, k.id AS queue, k.key AS queue_key
        FROM parked_keys AS k JOIN parked_messages AS m ON m.parked_key_id = k.id
        WHERE k.consumer = $1 AND k.topic = $2 AND m.parked_at < now() - $3::interval
        ORDER BY m.seq LIMIT $4
        FOR UPDATE OF k SKIP LOCKED
    ), old AS (
        DELETE FROM parked_messages AS m USING found WHERE m.seq = found.seq
        RETURNING m.topic, m.type, m.source, m.id, found.queue, found.queue_key
    ), settled AS (
        UPDATE inbox SET outcome = 'discarded' FROM old
        WHERE inbox.consumer = $1 AND inbox.source = old.source AND inbox.id = old.id
    ), due AS (
        UPDATE parked_keys SET state = 'retrying', next_attempt_at = clock_timestamp()
        WHERE id IN (SELECT queue FROM old)
    )
    INSERT INTO dead_letter_actions (actor, action, reason, topic, key, type, source, message_id)
    SELECT 'system', 'discarded', 'parked for longer than its topic allows',
        topic, queue_key, type, source, id
    FROM old
    RETURNING 1
"""
_COUNT = """
    SELECT k.state, count(*) AS messages, count(DISTINCT k.id) AS queues
    FROM parked_keys AS k JOIN parked_messages AS m ON m.parked_key_id = k.id
    WHERE k.consumer = $1 GROUP BY k.state
"""


@dataclass(frozen=True, slots=True)
class Queue:
    """A row of ``parked_keys``."""

    id: int
    state: str
    blocking: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedRecord:
    """A parked message; it has the attributes of one that came from Kafka."""

    seq: int
    attempts: int
    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    value: bytes | None
    timestamp: int
    source: str
    id: str


class Parking:
    """The parked messages of one consumer.

    Args:
        consumer: the service's name.
    """

    def __init__(self, *, consumer: str) -> None:
        self._consumer = consumer

    async def find(
        self, unit: Unit, topic: str, keys: Collection[str | None]
    ) -> dict[str | None, Queue]:
        """Return the queues that block `keys`, by key, and lock them so that they can't be closed.

        Call it in a separate statement after the inbox: the transaction for which the inbox waited
        may have opened or closed a queue.
        """
        named = [key for key in keys if key is not None]
        rows = await unit.fetch(_FIND, self._consumer, topic, named, None in keys)
        return {key: Queue(queue, state) for queue, key, state in rows}

    async def append[R](
        self,
        unit: Unit,
        queue: Queue,
        message: Incoming[R],
        *,
        error: Exception | None = None,
    ) -> None:
        """Append a message to a queue; with `error`, its first attempt is counted."""
        record = message.record
        await unit.execute(
            _APPEND,
            queue.id,
            record.topic,
            record.partition,
            record.offset,
            message.source,
            message.id,
            message.type,
            record.key,
            json.dumps(_stored(record.headers)),
            record.value,
            _sent_at(record.timestamp),
            0 if error is None else 1,
            None if error is None else describe(error),
        )

    async def open[R](
        self,
        unit: Unit,
        message: Incoming[R],
        *,
        state: str,
        blocking: bool,
        delay: float = 0,
    ) -> Queue:
        """Open a queue for `message`; if its key is blocked already, return that queue.

        Args:
            unit: the transaction that parks.
            message: the first message of the queue.
            state: RETRYING, DEAD or UNKNOWN.
            blocking: whether later messages of the key must wait.
            delay: seconds to the next attempt.
        """
        topic = message.record.topic
        while True:
            opened = await unit.fetch(
                _OPEN, self._consumer, topic, message.key, blocking, state, delay
            )
            if opened:
                return Queue(opened[0]["id"], state, blocking)
            # A null key occurs in several partitions, so several consumers may open its queue.
            if queue := (await self.find(unit, topic, [message.key])).get(message.key):
                return queue

    async def take_due(self, unit: Unit) -> Queue | None:
        """Lock and return a queue whose head is due, or None; skip those locked by others."""
        return _queue(await unit.fetch_locked(_TAKE_DUE, self._consumer, lock=_TAKE_LOCK))

    async def take(self, unit: Unit, queue_id: int) -> Queue | None:
        """Lock a queue, waiting for its lock, and return it; None if it was closed."""
        return _queue(await unit.fetch(_TAKE, queue_id))

    async def head(self, unit: Unit, queue: Queue) -> ParkedRecord | None:
        """Return the first message of a queue; None if the queue is empty."""
        return _parked(await unit.fetch(_HEAD, queue.id))

    async def overtaking(self, unit: Unit, types: Sequence[str]) -> tuple[int, int] | None:
        """Find a message of `types` behind a dead one; return its queue's id and its ``seq``."""
        found = await unit.fetch(_OVERTAKING, self._consumer, list(types))
        return (found[0]["queue"], found[0]["seq"]) if found else None

    async def message(self, unit: Unit, queue: Queue, seq: int) -> ParkedRecord | None:
        """Return one message of a queue; None if it is gone."""
        return _parked(await unit.fetch(_BY_SEQ, queue.id, seq))

    async def remove(self, unit: Unit, seq: int) -> None:
        """Remove a message from its queue: it took effect, or was discarded."""
        await unit.execute(_REMOVE, seq)

    async def count_attempt(self, unit: Unit, record: ParkedRecord, error: Exception) -> bool:
        """Count a failed attempt and store its error; return False if the message has changed."""
        return await unit.execute(_COUNT_ATTEMPT, record.seq, record.attempts, describe(error)) == 1

    async def reschedule(self, unit: Unit, queue_id: int, *, state: str, delay: float = 0) -> None:
        """Set a queue's state; if RETRYING, its head is due after `delay` seconds."""
        await unit.execute(_RESCHEDULE, queue_id, state, delay)

    async def pull_back(self, unit: Unit, longest: timedelta) -> int:
        """Make queues due whose next attempt is later than `longest` from now; return how many.

        PostgreSQL's clock was ahead when that time was written. The queue, and all later messages
        of its key, would wait until then.
        """
        return await unit.execute(_PULL_BACK, self._consumer, longest)

    async def discard_old(self, unit: Unit, topic: str, *, keep: timedelta, limit: int) -> int:
        """Discard up to `limit` messages of a topic that were parked longer than `keep` ago.

        Messages behind them go on.

        Returns:
            How many were discarded. Each is recorded, as an operator's action is.
        """
        return len(await unit.fetch(_DISCARD_OLD, self._consumer, topic, keep, limit))

    async def lock(self, unit: Unit, queue_id: int) -> None:
        """Lock a queue exclusively: wait for those who retry its head or append to it."""
        await unit.execute(_LOCK, queue_id)

    async def queues_of(self, unit: Unit, key: str) -> list[int]:
        """Return the ids of a key's queues on all topics, in order. They are not locked."""
        return [row["id"] for row in await unit.fetch(_OF_KEY, self._consumer, key)]

    async def empty(self, unit: Unit, queue_id: int) -> list[tuple[str, str]]:
        """Remove all messages of a locked queue; return the source and the id of each."""
        return [(row["source"], row["id"]) for row in await unit.fetch(_EMPTY, queue_id)]

    async def close(self, unit: Unit, queue: Queue) -> None:
        """Close a queue if it is empty; use a separate transaction that does nothing else."""
        await self.lock(unit, queue.id)
        await unit.execute(_CLOSE, queue.id)

    async def count(self, unit: Statements) -> dict[str, tuple[int, int]]:
        """Count messages and queues by state."""
        rows = await unit.fetch(_COUNT, self._consumer)
        return {state: (messages, queues) for state, messages, queues in rows}


def _stored(headers: Sequence[tuple[str, bytes | None]]) -> list[list[str | None]]:
    """Convert headers to JSON that keeps every byte; bytes that are not UTF-8 as surrogates."""
    return [
        [name, None if value is None else value.decode(errors="surrogateescape")]
        for name, value in headers
    ]


def _sent_at(milliseconds: int) -> datetime | None:
    """Return the time of a record; None if a datetime can't hold it, as its producer chose it."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _queue(rows: Sequence[asyncpg.Record]) -> Queue | None:
    return Queue(*rows[0]) if rows else None


def _parked(rows: Sequence[asyncpg.Record]) -> ParkedRecord | None:
    if not rows:
        return None
    row = rows[0]
    return ParkedRecord(
        seq=row["seq"],
        attempts=row["attempts"],
        topic=row["topic"],
        partition=row["partition"],
        offset=row["log_offset"],
        key=row["key"],
        headers=[
            (name, None if value is None else value.encode(errors="surrogateescape"))
            for name, value in row["headers"]
        ],
        value=row["payload"],
        timestamp=_NO_TIME if (sent := row["sent_at"]) is None else round(sent.timestamp() * 1000),
        source=row["source"],
        id=row["id"],
    )
