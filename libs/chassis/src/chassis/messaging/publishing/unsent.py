"""The rows of the outbox that are not published yet: all SQL of the relay on that table."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import asyncpg

from chassis.messaging.publishing.shards import SHARD_OF_KEY, Shards

# The row that brings the payloads over the bound is the page's last: memory stays small. LEFT JOIN,
# as the snapshot's values are needed even if the page is empty. SQL does not guarantee the order
# after a join, so Python sorts the rows: PostgreSQL would move their payloads along.
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
# Count up to a limit: counting a million rows every few seconds costs more than it is worth.
_BACKLOG = """
    SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) AS counted) AS rows,
        coalesce(extract(epoch FROM clock_timestamp() - (
            SELECT created_at FROM outbox ORDER BY seq LIMIT 1
        )), 0)::float AS age,
        (SELECT count(*) FROM outbox_refusals) AS refused
"""
_SEPARATOR = "\x1f"  # between topic and key; a topic's name can't contain it
_PAGE_BYTES = 8_000_000
COUNTED_ROWS = 100_001
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


class OutboxRow(NamedTuple):
    """One event that is not published yet; `headers` is a JSON object of strings."""

    seq: int
    topic: str
    key: str
    headers: str
    payload: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxPage:
    """The rows that one statement read, in the order of ``seq``, and what its snapshot showed.

    Attributes:
        rows: the rows.
        more: whether there may be rows after these.
        oldest_running: all transactions with a lower id had ended.
        next_transaction: no transaction with this id or a higher one had begun.
        newest: the highest ``seq`` after the start, of any topic and key; 0 if there is none.
    """

    rows: Sequence[OutboxRow]
    more: bool
    oldest_running: int
    next_transaction: int
    newest: int

    @property
    def end(self) -> int:
        """The ``seq`` up to which the page holds all requested rows."""
        return self.rows[-1].seq if self.more else self.newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much is unsent: `rows` up to COUNTED_ROWS, and the `age` of the oldest, in seconds."""

    rows: int
    age: float
    refused: int


def topics_in(topics: Collection[str]) -> str:
    """Return the SQL condition "of one of these topics".

    The index and the query need exactly the same text, or the planner ignores the partial index.
    """
    for topic in topics:
        if not _TOPIC.fullmatch(topic):
            message = (
                f"{topic!r} can't be a Kafka topic. Use letters, digits, '.', '_' and '-' only."
            )
            raise ValueError(message)
    return f"topic IN ({', '.join(repr(topic) for topic in sorted(topics))})"


class Unsent:
    """The part of the outbox that one lane of the relay publishes.

    Args:
        connection: the connection that holds the locks of `shards`.
        shards: the shards whose keys to read.
        lane: an SQL condition on ``topic``.
        page_rows: the maximum number of rows in a page; 8 MB of payload is another limit.
    """

    def __init__(
        self, *, connection: asyncpg.Connection, shards: Shards, lane: str, page_rows: int
    ) -> None:
        self._connection = connection
        self._shards = shards
        self._lane = lane
        self._page_rows = page_rows

    async def read_page(
        self,
        after: int,
        *,
        but_rows: Sequence[OutboxRow] = (),
        but_topics: Collection[str] = (),
        but_keys: Collection[tuple[str, str]] = (),
    ) -> OutboxPage:
        """Return the next rows.

        Args:
            after: the ``seq`` after which to read.
            but_rows: rows to leave out, because they are sent already.
            but_topics: topics to leave out.
            but_keys: pairs of topic and key to leave out.
        """
        conditions = [self._lane]
        arguments: list[Any] = [after, self._page_rows, _PAGE_BYTES]
        if not self._shards.all_held:
            arguments.append(self._shards.held)
            conditions.append(f"{SHARD_OF_KEY} = ANY(${len(arguments)}::bigint[])")
        if sent := [row.seq for row in but_rows if row.seq > after]:
            arguments.append(sent)
            conditions.append(f"seq <> ALL(${len(arguments)}::bigint[])")
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
        return OutboxPage(
            rows=rows,
            more=full,
            oldest_running=records[0]["oldest_running"],
            next_transaction=records[0]["next_transaction"],
            newest=records[0]["newest"] or 0,
        )

    async def one(self, seq: int) -> OutboxRow | None:
        """Return one row, or None if it is gone."""
        record = await self._connection.fetchrow(_ONE, seq)
        return None if record is None else _row(record)

    async def delete(self, rows: Sequence[OutboxRow]) -> None:
        """Delete rows that Kafka has acknowledged."""
        await self._connection.execute(_DELETE, [row[0] for row in rows])

    async def backlog(self) -> Backlog:
        """Return how much is unsent in the whole service."""
        record = await self._connection.fetchrow(_BACKLOG, COUNTED_ROWS)
        if record is None:
            message = "the query of the backlog returned no row"
            raise RuntimeError(message)
        return Backlog(**record)


_seq = itemgetter(0)


def _row(record: asyncpg.Record) -> OutboxRow:
    return OutboxRow._make(record[:6])
