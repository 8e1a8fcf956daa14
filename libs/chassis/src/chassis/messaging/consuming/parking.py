"""Parking: a message that fails waits in a queue of its key, and later ones of the key behind it.

Locks, on the row of the queue: who appends holds it FOR KEY SHARE, who retries its head FOR NO KEY
UPDATE, so both go on at once; who closes it takes it FOR UPDATE, which waits for those who append.
So no message is put into a queue that is gone.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import JSON, BigInteger, LargeBinary, RowMapping, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database.statements import fetch
from chassis.messaging.consuming.incoming import Incoming

RETRYING, DEAD, UNKNOWN = "retrying", "dead", "unknown"

_FIND = """
    SELECT id, key, state FROM parked_keys
    WHERE consumer = $1 AND topic = $2 AND blocking
      AND (key = ANY ($3::text[]) OR ($4 AND key IS NULL))
    FOR KEY SHARE
"""
_OPEN = text(
    """
    INSERT INTO parked_keys (consumer, topic, key, blocking, state, next_attempt_at)
    VALUES (:consumer, :topic, :key, :blocking, :state,
            CASE WHEN :state = 'retrying' THEN clock_timestamp() + :delay * interval '1 second' END)
    ON CONFLICT (consumer, topic, key) WHERE blocking DO NOTHING
    RETURNING id
    """
)
_APPEND = text(
    """
    INSERT INTO parked_messages (parked_key_id, topic, partition, log_offset, source, id, type, key,
                                 headers, payload, sent_at, attempts, error, attempted_at)
    VALUES (:queue, :topic, :partition, :log_offset, :source, :id, :type, :key,
            :headers, :payload, :sent_at, :attempts, :error,
            CASE WHEN :attempts > 0 THEN clock_timestamp() END)
    """
).bindparams(
    bindparam("headers", type_=JSON),
    bindparam("key", type_=LargeBinary),
    bindparam("payload", type_=LargeBinary),
    bindparam("log_offset", type_=BigInteger),
)
_TAKE_DUE = text(
    """
    SELECT id, state, blocking FROM parked_keys
    WHERE consumer = :consumer AND state = 'retrying' AND next_attempt_at <= clock_timestamp()
    ORDER BY next_attempt_at LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
    """
)
_TAKE = text("SELECT id, state, blocking FROM parked_keys WHERE id = :queue FOR NO KEY UPDATE")
_MESSAGE = "SELECT * FROM parked_messages WHERE parked_key_id = :queue"
_HEAD = text(f"{_MESSAGE} ORDER BY seq LIMIT 1")
_OVERTAKING = text(
    """
    SELECT m.parked_key_id AS queue, m.seq
    FROM parked_keys AS k JOIN parked_messages AS m ON m.parked_key_id = k.id
    WHERE k.consumer = :consumer AND k.state = 'dead' AND k.blocking
      AND m.attempts = 0 AND m.type = ANY (:types)
    ORDER BY m.seq LIMIT 1
    """
)
_BY_SEQ = text(f"{_MESSAGE} AND seq = :seq")
_REMOVE = text("DELETE FROM parked_messages WHERE seq = :seq")
# Two may have tried the same message at once, one of them with a lock that its connection lost.
_COUNT_ATTEMPT = text(
    """
    UPDATE parked_messages
    SET attempts = attempts + 1, error = :error, attempted_at = clock_timestamp()
    WHERE seq = :seq AND attempts = :attempts
    """
)
_RESCHEDULE = text(
    """
    UPDATE parked_keys SET state = :state, next_attempt_at =
        CASE WHEN :state = 'retrying' THEN clock_timestamp() + :delay * interval '1 second' END
    WHERE id = :queue
    """
)
_LOCK = text("SELECT id FROM parked_keys WHERE id = :queue FOR UPDATE")
_CLOSE = text(
    """
    DELETE FROM parked_keys AS k WHERE id = :queue
      AND NOT EXISTS (SELECT FROM parked_messages WHERE parked_key_id = k.id)
    """
)
_COUNT = text(
    """
    SELECT k.state, count(*) AS messages, count(DISTINCT k.id) AS queues
    FROM parked_keys AS k JOIN parked_messages AS m ON m.parked_key_id = k.id
    WHERE k.consumer = :consumer GROUP BY k.state
    """
)


@dataclass(frozen=True, slots=True)
class Queue:
    """A row of ``parked_keys``."""

    id: int
    state: str
    blocking: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedRecord:
    """A parked message; it reads like one that came from Kafka."""

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
        self, session: AsyncSession, topic: str, keys: Collection[str | None]
    ) -> dict[str | None, Queue]:
        """Find the queues that block `keys`, and keep them from being closed.

        Call it in a statement of its own after the inbox: a queue may have been opened or closed
        by the transaction for which the inbox waited.
        """
        named = [key for key in keys if key is not None]
        rows = await fetch(session, _FIND, self._consumer, topic, named, None in keys)
        return {key: Queue(queue, state) for queue, key, state in rows}

    async def append[R](
        self,
        session: AsyncSession,
        queue: Queue,
        message: Incoming[R],
        *,
        error: Exception | None = None,
    ) -> None:
        """Put a message at the end of a queue; with `error`, an attempt was made already."""
        record = message.record
        await session.execute(
            _APPEND,
            {
                "queue": queue.id,
                "topic": record.topic,
                "partition": record.partition,
                "log_offset": record.offset,
                "source": message.source,
                "id": message.id,
                "type": message.type,
                "key": record.key,
                "headers": _stored(record.headers),
                "payload": record.value,
                "sent_at": datetime.fromtimestamp(record.timestamp / 1000, UTC),
                "attempts": 0 if error is None else 1,
                "error": None if error is None else describe(error),
            },
        )

    async def open[R](
        self,
        session: AsyncSession,
        message: Incoming[R],
        *,
        state: str,
        blocking: bool,
        delay: float = 0,
    ) -> Queue:
        """Open a queue for `message`; where its key is blocked already, answer that queue.

        Args:
            session: of the transaction that parks.
            message: the first of the queue.
            state: RETRYING, DEAD or UNKNOWN.
            blocking: whether later messages of the key must wait.
            delay: seconds to the next attempt.
        """
        topic = message.record.topic
        while True:
            opened = await session.scalar(
                _OPEN,
                {
                    "consumer": self._consumer,
                    "topic": topic,
                    "key": message.key,
                    "blocking": blocking,
                    "state": state,
                    "delay": delay,
                },
            )
            if opened is not None:
                return Queue(opened, state, blocking)
            # A null key has several partitions, and so several that may open its queue.
            if queue := (await self.find(session, topic, [message.key])).get(message.key):
                return queue

    async def take_due(self, session: AsyncSession) -> Queue | None:
        """Take a queue whose head is to be tried now, unless somebody else has it."""
        row = (await session.execute(_TAKE_DUE, {"consumer": self._consumer})).one_or_none()
        return None if row is None else Queue(row.id, row.state, row.blocking)

    async def take(self, session: AsyncSession, queue_id: int) -> Queue | None:
        """Take a queue, waiting for who has it; None where it was closed."""
        row = (await session.execute(_TAKE, {"queue": queue_id})).one_or_none()
        return None if row is None else Queue(row.id, row.state, row.blocking)

    async def head(self, session: AsyncSession, queue: Queue) -> ParkedRecord | None:
        """Read the first message of a queue; None where it is empty."""
        row = (await session.execute(_HEAD, {"queue": queue.id})).mappings().one_or_none()
        return None if row is None else _parked(row)

    async def overtaking(
        self, session: AsyncSession, types: Sequence[str]
    ) -> tuple[int, int] | None:
        """Find a message of `types` that waits behind a dead one: its queue's id and ``seq``."""
        values = {"consumer": self._consumer, "types": list(types)}
        row = (await session.execute(_OVERTAKING, values)).one_or_none()
        return None if row is None else (row.queue, row.seq)

    async def message(self, session: AsyncSession, queue: Queue, seq: int) -> ParkedRecord | None:
        """Read one message of a queue; None where it is gone."""
        result = await session.execute(_BY_SEQ, {"queue": queue.id, "seq": seq})
        row = result.mappings().one_or_none()
        return None if row is None else _parked(row)

    async def remove(self, session: AsyncSession, seq: int) -> None:
        """Take a message out of its queue: it took effect, or is not wanted."""
        await session.execute(_REMOVE, {"seq": seq})

    async def count_attempt(
        self, session: AsyncSession, record: ParkedRecord, error: Exception
    ) -> bool:
        """Note that a message failed once more, and why; False where it changed meanwhile."""
        result = await session.execute(
            _COUNT_ATTEMPT,
            {"seq": record.seq, "attempts": record.attempts, "error": describe(error)},
        )
        return result.rowcount == 1  # type: ignore[attr-defined,no-any-return]  # an UPDATE has one

    async def reschedule(
        self, session: AsyncSession, queue_id: int, *, state: str, delay: float = 0
    ) -> None:
        """Say what becomes of a queue: tried again after `delay` seconds, or not by itself."""
        values = {"queue": queue_id, "state": state, "delay": delay}
        await session.execute(_RESCHEDULE, values)

    async def lock(self, session: AsyncSession, queue_id: int) -> None:
        """Keep everybody else away from a queue: who retries its head, and who appends to it."""
        await session.execute(_LOCK, {"queue": queue_id})

    async def close(self, session: AsyncSession, queue: Queue) -> None:
        """Close a queue if it is empty; in a transaction of its own, which does nothing else."""
        await self.lock(session, queue.id)
        await session.execute(_CLOSE, {"queue": queue.id})

    async def count(self, session: AsyncSession) -> dict[str, tuple[int, int]]:
        """Count messages and queues by state."""
        result = await session.execute(_COUNT, {"consumer": self._consumer})
        return {row.state: (row.messages, row.queues) for row in result}


def describe(error: Exception) -> str:
    """Say what an error was, in one line that PostgreSQL can store."""
    lines = str(error).splitlines() or [""]  # what follows the first may quote people's data
    storable = lines[0].encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return f"{type(error).__name__}: {storable}"[:2000]


def _stored(headers: Sequence[tuple[str, bytes | None]]) -> list[list[str | None]]:
    """Write headers so that JSON keeps every byte: what is not UTF-8 as lone surrogates."""
    return [
        [name, None if value is None else value.decode(errors="surrogateescape")]
        for name, value in headers
    ]


def _parked(row: RowMapping) -> ParkedRecord:
    headers = row["headers"]
    if isinstance(headers, str):
        headers = json.loads(headers)
    return ParkedRecord(
        seq=row["seq"],
        attempts=row["attempts"],
        topic=row["topic"],
        partition=row["partition"],
        offset=row["log_offset"],
        key=row["key"],
        headers=[
            (name, None if value is None else value.encode(errors="surrogateescape"))
            for name, value in headers
        ],
        value=row["payload"],
        timestamp=round(row["sent_at"].timestamp() * 1000),
        source=row["source"],
        id=row["id"],
    )
