"""Leases: which worker may run a job, and until when, by the database's clock alone.

One connection that bypasses any pooler leases and renews for all queues of a worker. Each statement
is a transaction and takes one round trip.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from chassis.database.ids import new_id
from chassis.jobs.arguments import Priority

# One index scan for each priority. A single scan would read all high-priority jobs that are due
# tomorrow, each time. The nested loop stops at the limit, and locks no row beyond it. The setting
# lasts until the commit of this statement, whose wait for the disk it decides. The priorities and
# the limit are literals, because the plan for unknown ones would read and sort the whole table.
_LEASE = """
    WITH due AS MATERIALIZED (
        SELECT j.id FROM set_config(
            'synchronous_commit',
            CASE WHEN $4 THEN current_setting('synchronous_commit') ELSE 'off' END,
            true
        )
        CROSS JOIN (VALUES {priorities}) AS p (priority)
        CROSS JOIN LATERAL (
            SELECT id FROM jobs
            WHERE queue = $1 AND state = 'waiting' AND priority = p.priority AND run_at <= now()
            ORDER BY run_at, id LIMIT {limit}
            FOR UPDATE SKIP LOCKED
        ) AS j
        LIMIT {limit}
    )
    UPDATE jobs SET state = 'running', lease = $2, lease_until = now() + $3,
        attempts = attempts + 1, started_at = now()
    FROM due WHERE jobs.id = due.id
    RETURNING jobs.id, kind, arguments::text, attempts, traceparent, priority, run_at,
        extract(epoch FROM now() - run_at)::float8 AS waited,
        extract(epoch FROM now() - undeclared_since)::float8 AS undeclared
"""
# Skip a locked row: its job is being settled, and must not delay the renewal of the others.
_RENEW = """
    UPDATE jobs SET lease_until = now() + $3
    WHERE id = ANY (ARRAY(
        SELECT j.id FROM unnest($1::bigint[], $2::uuid[]) AS m (id, lease)
        JOIN jobs AS j ON j.id = m.id AND j.lease = m.lease
        WHERE j.state = 'running'
        FOR UPDATE OF j SKIP LOCKED
    ))
"""
_LOST = """
    SELECT m.id, m.lease FROM unnest($1::bigint[], $2::uuid[]) AS m (id, lease)
    LEFT JOIN jobs AS j ON j.id = m.id AND j.lease = m.lease AND j.state = 'running'
    WHERE j.id IS NULL
"""
# Count up to a limit: counting all would take long just when many jobs wait.
_MEASURE = """
    SELECT q.queue,
        (SELECT count(*) FROM (
            SELECT FROM jobs WHERE queue = q.queue AND state = 'waiting' LIMIT 100001
        ) AS w) AS waiting,
        (SELECT count(*) FROM jobs WHERE queue = q.queue AND state = 'running') AS running,
        (SELECT count(*) FROM jobs WHERE queue = q.queue AND state = 'dead') AS dead,
        coalesce(extract(epoch FROM now() - (
            SELECT min(oldest.run_at) FROM unnest($2::smallint[]) AS p (priority)
            CROSS JOIN LATERAL (
                SELECT run_at FROM jobs
                WHERE queue = q.queue AND state = 'waiting' AND priority = p.priority
                    AND run_at <= now()
                ORDER BY run_at, id LIMIT 1
            ) AS oldest
        )), 0)::float8 AS age
    FROM unnest($1::text[]) AS q (queue)
"""
_PRIORITIES = [int(priority) for priority in sorted(Priority)]
_PRIORITY_ROWS = ", ".join(f"({priority}::smallint)" for priority in _PRIORITIES)


type Held = tuple[int, UUID]
"""A job's id and the lease under which it runs: a worker may run a job that it has leased twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedJob:
    """A job that this worker may run.

    Attributes:
        id: the id of its row.
        kind: the kind's name; the service may not declare it.
        arguments: the arguments as JSON.
        attempts: the number of attempts, including this one.
        lease: must still be the row's lease when the job is settled.
        traceparent: the trace of the code that enqueued it.
        waited: seconds from when it was due to its lease.
        undeclared: seconds since a worker first found that its release does not declare the kind.
    """

    id: int
    kind: str
    arguments: str
    attempts: int
    lease: UUID
    traceparent: str | None
    waited: float
    undeclared: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """How many jobs a queue holds by state; `age`: seconds since its oldest due job was due."""

    waiting: int
    running: int
    dead: int
    age: float


class Leases:
    """Leases jobs on one connection.

    Args:
        connection: a connection with the settings QUEUE_PLANS.
        duration: the duration of a lease.
        unsure: holds the token of each lease whose result may have been lost.
    """

    def __init__(
        self, *, connection: asyncpg.Connection, duration: timedelta, unsure: set[UUID]
    ) -> None:
        self._connection = connection
        self._duration = duration
        self._unsure = unsure
        self._free = asyncio.Lock()  # asyncpg runs one statement at a time

    async def lease(self, queue: str, limit: int, *, durable: bool = True) -> list[LeasedJob]:
        """Lease due jobs of a queue; return them by priority, due time and id.

        If it is cancelled or times out, the driver has PostgreSQL cancel the statement. A lease
        that waits for a synchronous standby is then seen, although a failover may undo it. No job
        has begun under it, and only a lease that is seen can be handed back.

        Args:
            queue: the name of the queue.
            limit: the maximum number of jobs.
            durable: whether to wait until the lease is on disk. Without that, a crash of PostgreSQL
                may undo leases that no later durable commit has flushed.
        """
        lease = new_id()
        sql = _LEASE.format(priorities=_PRIORITY_ROWS, limit=limit)
        async with self._free:
            self._unsure.add(lease)
            rows = await self._connection.fetch(sql, queue, lease, self._duration, durable)
            self._unsure.discard(lease)
        rows.sort(key=lambda row: (row["priority"], row["run_at"], row["id"]))
        return [
            LeasedJob(
                id=row["id"],
                kind=row["kind"],
                arguments=row["arguments"],
                attempts=row["attempts"],
                lease=lease,
                traceparent=row["traceparent"],
                waited=row["waited"],
                undeclared=row["undeclared"],
            )
            for row in rows
        ]

    async def renew(self, held: Collection[Held]) -> set[Held]:
        """Renew leases; return those that are no longer ours."""
        if not held:
            return set()
        ids, leases = [job for job, _ in held], [lease for _, lease in held]
        async with self._free:
            await self._connection.execute(_RENEW, ids, leases, self._duration)
            rows = await self._connection.fetch(_LOST, ids, leases)
        return {(row["id"], row["lease"]) for row in rows}

    async def measure(self, queues: Collection[str]) -> dict[str, QueueState]:
        """Return how many jobs each queue holds by state."""
        rows: Sequence[Any]
        async with self._free:
            rows = await self._connection.fetch(_MEASURE, list(queues), _PRIORITIES)
        return {
            row["queue"]: QueueState(
                waiting=row["waiting"], running=row["running"], dead=row["dead"], age=row["age"]
            )
            for row in rows
        }
