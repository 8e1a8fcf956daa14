"""The rows of the outbox that are not published yet: all SQL of the relay on that table."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import asyncpg

from chassis.messaging.publishing.shards import SHARD_OF_KEY, Shards

# The planner would judge by a table that is empty most of the time, and keep that plan.
PLANS = {"enable_seqscan": "off", "enable_bitmapscan": "off", "jit": "off"}

# A page ends with the row that brings its payloads over the bound: memory stays small. Its snapshot
# is told where it has no row, too. The join keeps the order, and promises nothing: so the rows are
# sorted here, since PostgreSQL would do it with their payloads.
_READ = """
    SELECT measured.seq, topic, key, headers, payload, created_at,
        oldest_running, next_transaction, newest
    FROM (
        SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_running,
            pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_transaction,
            (SELECT max(seq) FROM outbox WHERE seq > $1) AS newest
    ) AS snapshot
    LEFT JOIN (
        SELECT page.*, sum(octet_length(payload)) OVER (ORDER BY seq) AS bytes
        FROM (
            SELECT seq, topic, key, headers, payload, created_at
            FROM outbox WHERE seq > $1 AND {conditions} ORDER BY seq LIMIT $2
        ) AS page
    ) AS measured ON bytes - octet_length(payload) < $3
"""
_ONE = "SELECT seq, topic, key, headers, payload, created_at FROM outbox WHERE seq = $1"
_DELETE = "DELETE FROM outbox WHERE seq = ANY($1::bigint[])"
# Counting a million rows each few seconds would cost more than the number is worth.
_BACKLOG = """
    SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) AS counted) AS rows,
        coalesce(extract(epoch FROM clock_timestamp() - (
            SELECT created_at FROM outbox ORDER BY seq LIMIT 1
        )), 0)::float AS age,
        (SELECT count(*) FROM outbox_refusals) AS refused
"""
_SEPARATOR = "\x1f"  # between topic and key; no topic's name holds it
_PAGE_BYTES = 8_000_000
COUNTED_ROWS = 100_001
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


class OutboxRow(NamedTuple):
    """One event that waits to be published; `headers` is a JSON object of strings."""

    seq: int
    topic: str
    key: str
    headers: str
    payload: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What one statement read, in the order of ``seq``, and what its snapshot knew.

    Attributes:
        rows: the rows.
        more: whether there may be others behind them.
        oldest_running: all transactions before this one had ended.
        next_transaction: none from this one on had begun.
        newest: the highest ``seq`` behind the start, of whatever topic and key; 0: there is none.
    """

    rows: Sequence[OutboxRow]
    more: bool
    oldest_running: int
    next_transaction: int
    newest: int

    @property
    def end(self) -> int:
        """The ``seq`` up to which it holds all rows that were asked for."""
        return self.rows[-1].seq if self.more else self.newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much waits; `rows` ends at COUNTED_ROWS, and `age` is the oldest row's in seconds."""

    rows: int
    age: float
    refused: int


def topics_in(topics: Collection[str]) -> str:
    """Give the SQL condition "of one of these topics".

    Index and query need the very same text, or the planner would not use a partial index.
    """
    for topic in topics:
        if not _TOPIC.fullmatch(topic):
            message = f"{topic!r} can't be a topic of Kafka: letters, digits, '.', '_' and '-' only"
            raise ValueError(message)
    return f"topic IN ({', '.join(repr(topic) for topic in sorted(topics))})"


class Unsent:
    """The outbox as one lane of the relay sees it.

    Args:
        connection: the one that holds the locks of `shards`.
        shards: whose keys to read.
        lane: an SQL condition on ``topic``.
        page_rows: rows read at a time, at most; 8 MB of payload are another limit.
    """

    def __init__(
        self, *, connection: asyncpg.Connection, shards: Shards, lane: str, page_rows: int
    ) -> None:
        self._connection = connection
        self._shards = shards
        self._lane = lane
        self._page_rows = page_rows

    async def page(
        self,
        after: int,
        *,
        but_topics: Collection[str] = (),
        but_keys: Collection[tuple[str, str]] = (),
    ) -> Page:
        """Read the next rows.

        Args:
            after: the ``seq`` behind which to read.
            but_topics: topics that wait.
            but_keys: topics and keys that wait.
        """
        conditions = [self._lane]
        arguments: list[Any] = [after, self._page_rows, _PAGE_BYTES]
        if not self._shards.all_held:
            arguments.append(self._shards.held)
            conditions.append(f"{SHARD_OF_KEY} = ANY(${len(arguments)}::bigint[])")
        if but_topics:
            arguments.append(sorted(but_topics))
            conditions.append(f"topic <> ALL(${len(arguments)}::text[])")
        if but_keys:
            arguments.append(sorted(topic + _SEPARATOR + key for topic, key in but_keys))
            conditions.append(f"topic || chr(31) || key <> ALL(${len(arguments)}::text[])")
        sql = _READ.replace("{conditions}", " AND ".join(conditions))
        records = await self._connection.fetch(sql, *arguments)
        rows = sorted((_row(record) for record in records if record[0] is not None), key=_seq)
        full = len(rows) == self._page_rows or sum(len(row[4]) for row in rows) >= _PAGE_BYTES
        return Page(
            rows=rows,
            more=full,
            oldest_running=records[0]["oldest_running"],
            next_transaction=records[0]["next_transaction"],
            newest=records[0]["newest"] or 0,
        )

    async def one(self, seq: int) -> OutboxRow | None:
        """Read one row, if it is still there."""
        record = await self._connection.fetchrow(_ONE, seq)
        return None if record is None else _row(record)

    async def delete(self, rows: Sequence[OutboxRow]) -> None:
        """Forget rows that Kafka has."""
        await self._connection.execute(_DELETE, [row[0] for row in rows])

    async def backlog(self) -> Backlog:
        """Say how much waits in the whole service."""
        record = await self._connection.fetchrow(_BACKLOG, COUNTED_ROWS)
        if record is None:
            message = "an aggregate gave no row"
            raise RuntimeError(message)
        return Backlog(**record)


_seq = itemgetter(0)


def _row(record: asyncpg.Record) -> OutboxRow:
    return OutboxRow._make(record[:6])
