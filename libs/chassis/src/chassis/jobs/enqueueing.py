"""Enqueueing: a job is a row of the caller's transaction, so it exists if that commits."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from chassis.database.unit import Unit
from chassis.jobs.arguments import JobArguments, Priority
from chassis.messaging.wakeup import Wakeups
from chassis.telemetry.tracing import current_traceparent

MAX_ARGUMENT_BYTES = 100_000

_INSERT = """
    INSERT INTO jobs (queue, kind, arguments, priority, unique_key, traceparent, run_at)
    SELECT $1, $2, argument::json, $4, $5, $6, coalesce($7, now()) + $8
    FROM unnest($3::text[]) WITH ORDINALITY AS a (argument, place)
    ORDER BY place
    ON CONFLICT (kind, unique_key)
        WHERE unique_key IS NOT NULL AND state IN ('waiting', 'running') DO NOTHING
    RETURNING id
"""
# The update locks the unfinished job until the commit. So a job that gives up its key waits for the
# transactions that found it, and then sees what they wrote.
_INSERT_FROM = """
    INSERT INTO jobs (queue, kind, arguments, priority, unique_key, traceparent, run_at)
    SELECT '{queue}', '{kind}', arguments, {priority}, unique_key, traceparent, run_at
    FROM {source} ORDER BY unique_key
    ON CONFLICT (kind, unique_key)
        WHERE unique_key IS NOT NULL AND state IN ('waiting', 'running')
        DO UPDATE SET run_at = least(jobs.run_at, excluded.run_at)
"""
_GIVE_UP_KEY = "UPDATE jobs SET unique_key = NULL WHERE id = $1"
# Waits while the job's row is locked, as it is while the job runs inside a transaction.
_CANCEL = """
    UPDATE jobs SET state = 'cancelled', finished_at = clock_timestamp(),
        lease = NULL, lease_until = NULL
    WHERE kind = $1 AND unique_key = $2 AND state IN ('waiting', 'running')
    RETURNING id
"""


def insert_jobs(arguments: type[JobArguments], source: str) -> str:
    """Return the part of a statement that enqueues a job for each row of `source`, by its key.

    If the key has an unfinished job, nothing is enqueued: that job becomes due no later than the
    row says. After the commit call ``Jobs.hint``.

    Args:
        arguments: the model of the arguments, which names the kind and the queue.
        source: the name of a table expression of that statement, with the columns ``arguments``
            (json), ``unique_key`` (text, unique in `source`), ``traceparent`` (text) and ``run_at``
            (timestamptz). It becomes part of the SQL.
    """
    return _INSERT_FROM.format(
        queue=arguments.queue, kind=arguments.kind, priority=int(Priority.NORMAL), source=source
    )


class ArgumentsTooLargeError(ValueError):
    """A job's arguments are over MAX_ARGUMENT_BYTES."""


def jobs_channel(service: str) -> str:
    """Return the channel that wakes the service's workers; channels are per database."""
    return f"{service}_jobs"


class Jobs:
    """The jobs of one transaction.

    Args:
        unit: the transaction.
        service: the service whose workers run the jobs.
        wakeups: wakes the workers after the commit.
    """

    def __init__(self, *, unit: Unit, service: str, wakeups: Wakeups) -> None:
        self._unit = unit
        self._channel = jobs_channel(service)
        self._wakeups = wakeups

    async def enqueue(
        self,
        arguments: JobArguments,
        *,
        run_at: datetime | None = None,
        delay: timedelta | None = None,
        unique_key: str | None = None,
        priority: Priority = Priority.NORMAL,
    ) -> int | None:
        """Enqueue a job if, and only if, the transaction commits; return its id.

        Args:
            arguments: their model names the kind and the queue.
            run_at: the earliest start, by the database's clock. Default: the transaction's start.
            delay: added to `run_at`.
            unique_key: at most one job of the kind with this key is unfinished at a time. If there
                is one, nothing is enqueued, and None is returned.
            priority: which due jobs of the queue come first.

        Raises:
            ArgumentsTooLargeError: the arguments are over MAX_ARGUMENT_BYTES.
            ValueError: `run_at` has no time zone.
        """
        ids = await self._insert([arguments], run_at, delay, unique_key, priority)
        return ids[0] if ids else None

    async def enqueue_many(
        self,
        arguments: Sequence[JobArguments],
        *,
        run_at: datetime | None = None,
        delay: timedelta | None = None,
        priority: Priority = Priority.NORMAL,
    ) -> list[int]:
        """Enqueue many jobs of one kind in one statement, as `enqueue` does; return their ids.

        Raises:
            ValueError: the arguments are of several kinds; otherwise as `enqueue`.
        """
        if not arguments:
            return []
        return await self._insert(arguments, run_at, delay, None, priority)

    async def enqueue_soonest(
        self, arguments: JobArguments, *, unique_key: str, delay: timedelta = timedelta()
    ) -> None:
        """Enqueue a job, or let the unfinished job of this kind and key be due no later.

        A running job is not started again. Its handler calls ``give_up_key`` before it looks for
        work the last time, and so finds what this transaction wrote.

        Args:
            arguments: their model names the kind and the queue.
            unique_key: see ``enqueue``.
            delay: added to the transaction's start.
        """
        kind = type(arguments)
        source = (
            "(SELECT $1::json AS arguments, $2::text AS unique_key, $3::text AS traceparent,"
            " now() + $4::interval AS run_at) AS one"
        )
        await self._unit.execute(
            insert_jobs(kind, source),
            _json(arguments, kind),
            unique_key,
            current_traceparent(),
            delay,
        )
        self.hint(kind)

    def hint(self, arguments: type[JobArguments]) -> None:
        """Wake the workers after the commit, for jobs that ``insert_jobs`` enqueued."""
        self._unit.after_commit(lambda: self._wakeups.hint(self._channel, arguments.queue))

    async def give_up_key(self, job_id: int) -> None:
        """Give up the key of a running job, so that the next job with it can be enqueued.

        It waits for all transactions that found this job in place of theirs. The next statement
        sees what they wrote.
        """
        await self._unit.execute(_GIVE_UP_KEY, job_id)

    async def cancel(self, arguments: type[JobArguments], unique_key: str) -> bool:
        """Cancel the unfinished job of this kind and key; return whether there was one.

        A job that runs outside a transaction is stopped within seconds. If the job runs inside a
        transaction, this call waits for its end: a job that is done by then is not cancelled.
        """
        rows = await self._unit.fetch(_CANCEL, arguments.kind, unique_key)
        return bool(rows)

    async def _insert(
        self,
        arguments: Sequence[JobArguments],
        run_at: datetime | None,
        delay: timedelta | None,
        unique_key: str | None,
        priority: Priority,
    ) -> list[int]:
        kind = type(arguments[0])
        if run_at is not None and run_at.tzinfo is None:
            message = f"run_at of a {kind.kind} has no time zone: give an aware datetime"
            raise ValueError(message)
        rows = await self._unit.fetch(
            _INSERT,
            kind.queue,
            kind.kind,
            [_json(one, kind) for one in arguments],
            int(priority),
            unique_key,
            current_traceparent(),
            run_at,
            delay or timedelta(),
        )
        if rows:
            self._unit.after_commit(lambda: self._wakeups.hint(self._channel, kind.queue))
        return [row["id"] for row in rows]


def _json(arguments: JobArguments, kind: type[JobArguments]) -> str:
    if type(arguments) is not kind:
        message = f"jobs of {kind.kind} and {arguments.kind} can't be enqueued in one call"
        raise ValueError(message)
    text = arguments.model_dump_json()
    if len(text.encode()) > MAX_ARGUMENT_BYTES:
        message = (
            f"the arguments of a {kind.kind} have {len(text.encode())} bytes, and "
            f"{MAX_ARGUMENT_BYTES} are allowed: pass a reference in place of the content"
        )
        raise ArgumentsTooLargeError(message)
    return text
