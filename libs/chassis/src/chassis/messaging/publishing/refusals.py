"""Events that Kafka refuses because of their content: each blocks its own key, and is retried.

They are kept in ``outbox_refusals``, so that a relay that takes over need not cause the error.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import asyncpg

from chassis.messaging.publishing.shards import SHARD_OF_KEY, Shards
from chassis.messaging.publishing.unsent import OutboxRow

_LOAD = """
    SELECT seq, topic, key, attempts,
        extract(epoch FROM clock_timestamp() - last_refused_at)::float AS ago
    FROM outbox_refusals WHERE {conditions}
"""
_RECORD = """
    INSERT INTO outbox_refusals (seq, topic, key, type, attempts, error)
    SELECT seq, topic, key, type, 1, $2 FROM outbox WHERE seq = $1
    ON CONFLICT (seq) DO UPDATE SET attempts = outbox_refusals.attempts + 1,
        error = excluded.error, last_refused_at = clock_timestamp()
    RETURNING attempts
"""
_FORGET = """
    WITH sent AS (DELETE FROM outbox WHERE seq = $1)
    DELETE FROM outbox_refusals WHERE seq = $1
"""
_LONGEST_SECONDS = 60.0


@dataclass(slots=True)
class _Refusal:
    topic: str
    key: str
    due: float


class Refusals:
    """The refused rows of the shards that this relay holds.

    Args:
        connection: the connection that holds the locks of `shards`.
        shards: the shards of this relay.
        lane: an SQL condition on ``topic``.
    """

    def __init__(self, *, connection: asyncpg.Connection, shards: Shards, lane: str) -> None:
        self._connection = connection
        self._shards = shards
        self._lane = lane
        self._rows: dict[int, _Refusal] = {}

    @property
    def keys(self) -> Collection[tuple[str, str]]:
        """The topics and keys to skip, as a refused row blocks them."""
        return {(refusal.topic, refusal.key) for refusal in self._rows.values()}

    def due(self) -> list[int]:
        """Return the ``seq`` of each row that is to be retried now."""
        now = time.monotonic()
        return [seq for seq, refusal in sorted(self._rows.items()) if refusal.due <= now]

    async def load(self) -> None:
        """Read the refused rows of our shards; call it after the shards have changed."""
        conditions, arguments = [self._lane], list[Any]()
        if not self._shards.all_held:
            conditions.append(f"{SHARD_OF_KEY} = ANY($1::bigint[])")
            arguments.append(self._shards.held)
        sql = _LOAD.replace("{conditions}", " AND ".join(conditions))
        now = time.monotonic()
        self._rows = {
            record["seq"]: _Refusal(
                record["topic"],
                record["key"],
                now + _delay(record["attempts"]) - record["ago"],
            )
            for record in await self._connection.fetch(sql, *arguments)
        }

    async def record(self, row: OutboxRow, error: Exception) -> None:
        """Store that Kafka refused `row`, for the first time or again."""
        text = f"{type(error).__name__}: {error}".replace("\0", "")
        attempts = await self._connection.fetchval(_RECORD, row.seq, text)
        if attempts is None:  # somebody has deleted the row, to give the event up
            await self.forget(row.seq)
            return
        due = time.monotonic() + _delay(attempts)
        self._rows[row.seq] = _Refusal(row.topic, row.key, due)

    def postpone(self, seq: int) -> None:
        """Retry a row later without counting an attempt, as Kafka did not judge it."""
        self._rows[seq].due = time.monotonic() + _delay(1)

    async def forget(self, seq: int) -> None:
        """Delete a refusal and its row in the outbox."""
        await self._connection.execute(_FORGET, seq)
        self._rows.pop(seq, None)


def _delay(attempts: int) -> float:
    return min(_LONGEST_SECONDS, 2.0 ** min(attempts - 1, 10))
