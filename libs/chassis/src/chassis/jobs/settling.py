"""Records what became of a leased job: done, waiting again, dead, or handed back.

Every statement names the lease, as a fence. If the row has another lease or none, the statement
changes nothing: a worker that was frozen past its lease can't settle another worker's job.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from chassis.database.unit import Unit
from chassis.jobs.kinds import JobKinds, Retry
from chassis.jobs.leases import LeasedJob
from chassis.jobs.tables import DEAD, WAITING

_DONE = """
    UPDATE jobs SET state = 'done', finished_at = clock_timestamp(), lease = NULL,
        lease_until = NULL
"""
COMPLETE = _DONE + "WHERE id = {id} AND lease = '{lease}' AND state = 'running'"
"""Marks a job as done, unless another worker has leased it since."""
_COMPLETE_BATCH = f"""
    {_DONE} WHERE id = ANY ($1::bigint[]) AND lease = $2 AND state = 'running'
    RETURNING id
"""
_SETTLE = """
    UPDATE jobs SET state = $3, error = coalesce($4, error), attempts = attempts - $5,
        run_at = CASE WHEN $6::float8 IS NULL THEN run_at
                      ELSE clock_timestamp() + $6 * interval '1 second' END,
        finished_at = CASE WHEN $3 = 'dead' THEN clock_timestamp() END,
        undeclared_since = CASE WHEN $7 THEN coalesce(undeclared_since, clock_timestamp()) END,
        lease = NULL, lease_until = NULL
    WHERE id = $1 AND lease = $2 AND state = 'running'
    RETURNING id
"""
# Lock in the order of the ids, so that two workers that hand back can't deadlock.
_HAND_BACK = """
    UPDATE jobs SET state = 'waiting', attempts = attempts - 1, lease = NULL, lease_until = NULL
    WHERE id IN (
        SELECT id FROM jobs WHERE state = 'running' AND lease = ANY ($1::uuid[])
        ORDER BY id FOR UPDATE SKIP LOCKED
    )
    RETURNING id
"""
_EXPIRED = """
    SELECT id, kind, arguments::text, attempts, lease, traceparent,
        extract(epoch FROM now() - undeclared_since)::float8 AS undeclared
    FROM jobs WHERE state = 'running' AND lease_until < now() AND lease <> ALL ($1::uuid[])
    ORDER BY lease_until LIMIT 100
"""
_AHEAD = """
    SELECT id FROM jobs WHERE state = 'running' AND lease_until > now() + $1::interval
    ORDER BY id LIMIT 100
"""
_PULL_BACK = "UPDATE jobs SET lease_until = now() + $1 WHERE id = ANY ($2::bigint[])"
LEASE_EXPIRED = "the lease expired: the worker that ran the job died, was frozen or lost PostgreSQL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of a job that was not done.

    Attributes:
        state: WAITING or DEAD.
        error: the reason; None keeps the text of the last failure.
        delay: seconds until it is due again; None keeps its place in the queue.
        counted: whether the attempt counts.
        undeclared: whether it waits for a release that declares its kind.
    """

    state: str
    error: str | None = None
    delay: float | None = None
    counted: bool = True
    undeclared: bool = False


def fate_of_failure(retry: Retry, attempts: int, error: str, *, permanent: bool = False) -> Fate:
    """Return the fate of a job that failed `attempts` times: retry after a backoff, or dead."""
    if permanent or attempts >= retry.attempts:
        return Fate(state=DEAD, error=error)
    return Fate(state=WAITING, error=error, delay=retry.delay(attempts))


async def complete(unit: Unit, jobs: Sequence[LeasedJob]) -> set[int]:
    """Mark jobs of one lease as done; return the ids of those whose lease is still ours.

    The rows stay locked until the transaction ends, so nobody can lease or cancel the jobs. As the
    first statement, the completion of a single job is sent with the BEGIN.
    """
    if len(jobs) == 1:
        [job] = jobs
        done = await unit.execute_first(COMPLETE.format(id=job.id, lease=job.lease))
        return {job.id} if done else set()
    rows = await unit.fetch(_COMPLETE_BATCH, [job.id for job in jobs], jobs[0].lease)
    return {row["id"] for row in rows}


async def settle(unit: Unit, job: LeasedJob, fate: Fate) -> bool:
    """Record the fate of a job; return False if its lease is no longer ours."""
    rows = await unit.fetch(
        _SETTLE,
        job.id,
        job.lease,
        fate.state,
        fate.error,
        0 if fate.counted else 1,
        fate.delay,
        fate.undeclared,
    )
    return bool(rows)


async def hand_back(unit: Unit, leases: Collection[UUID]) -> int:
    """Put unfinished jobs of `leases` back in their place, uncounted; return how many."""
    return len(await unit.fetch(_HAND_BACK, list(leases)))


async def take_expired[R](
    unit: Unit, kinds: JobKinds[R], *, own: Collection[UUID] = ()
) -> dict[str, int]:
    """Put jobs whose lease expired back into the queue, or mark them dead.

    The attempt counts, so that a job that always kills its worker ends as dead.

    Args:
        unit: the transaction.
        kinds: the kinds of jobs.
        own: the leases of jobs that this worker runs: it is alive, and will renew them.

    Returns:
        The number of jobs by their new state.
    """
    counted: dict[str, int] = {}
    for row in await unit.fetch_locked(_EXPIRED, list(own)):
        job = LeasedJob(**row, waited=0)
        kind = kinds.find(job.kind)
        fate = fate_of_failure(kind.retry if kind else Retry(), job.attempts, LEASE_EXPIRED)
        if await settle(unit, job, fate):
            counted[fate.state] = counted.get(fate.state, 0) + 1
    return counted


async def pull_back(unit: Unit, longest: timedelta) -> int:
    """Shorten leases that last longer than `longest` to it; return how many.

    PostgreSQL's clock was ahead when it gave them. If a worker died then, its jobs would wait until
    that time. A worker that lives renews its lease, so it loses nothing.
    """
    rows = await unit.fetch_locked(_AHEAD, longest)
    if rows:
        await unit.execute(_PULL_BACK, longest, [row["id"] for row in rows])
    return len(rows)
