"""Retention: how long rows are kept, and the periodic jobs that delete older ones.

Each retention is declared once: for the chassis' tables here, for a service's tables in its
declaration. Rows are found by an index, and deleted in small transactions that block nobody.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter

from chassis.audit.pruning import AUDIT_KEPT, sealed_entries_older_than
from chassis.database.database import Database
from chassis.database.unit import Unit
from chassis.jobs.arguments import JobArguments
from chassis.jobs.kinds import OutsideJob, OutsideRun
from chassis.jobs.schedules import Schedule

log = structlog.get_logger(__name__)

IDEMPOTENCY_KEPT = timedelta(hours=24)
"""How long an Idempotency-Key is remembered after its request."""

FINISHED_JOBS_KEPT = timedelta(hours=24)
"""How long jobs that are done or cancelled are kept. Dead ones stay until somebody decides."""

REPLAYS_KEPT = timedelta(days=30)
"""How long a replay is kept after its end."""

QUEUE = "retention"

type Prune = Callable[[Unit, int], Awaitable[int]]
"""Deletes up to so many expired rows in a transaction, and returns how many it deleted."""


class PruneRows(JobArguments):
    """Delete the rows whose retention has ended."""

    kind = "chassis.prune.v1"
    queue = QUEUE

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Rows that are deleted, or erased in part, once they are of no use.

    Attributes:
        name: the table, or a part of it; the label of the metric.
        prune: deletes or erases expired rows.
        every: the time between two runs.
        batch: the maximum number of rows in one transaction.
    """

    name: str
    prune: Prune
    every: timedelta = timedelta(minutes=10)
    batch: int = 1000


def rows_older_than(age: timedelta, table: str, column: str, *, also: str = "true") -> Prune:
    """Return a function that deletes rows by age, the oldest first.

    Args:
        age: rows that are older are deleted.
        table: the table's name.
        column: the time column; needs an index.
        also: a further condition, in SQL.
    """
    sql = f"""
        DELETE FROM {table} WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM {table} WHERE {column} < now() - $1::interval AND {also}
            ORDER BY {column} LIMIT $2 FOR UPDATE SKIP LOCKED
        ))
        RETURNING 1
    """  # noqa: S608 - of names in the code

    async def prune(unit: Unit, limit: int) -> int:
        return len(await unit.fetch(sql, age, limit))

    return prune


_OF_CHASSIS = (
    Retention(
        name="idempotency_keys",
        prune=rows_older_than(IDEMPOTENCY_KEPT, "idempotency_keys", "created_at"),
    ),
    Retention(
        name="jobs",
        prune=rows_older_than(
            FINISHED_JOBS_KEPT, "jobs", "finished_at", also="state IN ('done', 'cancelled')"
        ),
        every=timedelta(minutes=1),
    ),
    Retention(
        name="replays",
        prune=rows_older_than(REPLAYS_KEPT, "replays", "finished_at"),
        every=timedelta(hours=1),
    ),
    Retention(
        name="dead_letter_actions",
        prune=rows_older_than(AUDIT_KEPT, "dead_letter_actions", "at"),
        every=timedelta(hours=1),
    ),
    Retention(
        name="audit_log",
        prune=sealed_entries_older_than(AUDIT_KEPT),
        every=timedelta(hours=1),
    ),
    Retention(
        name="job_actions",
        prune=rows_older_than(AUDIT_KEPT, "job_actions", "at"),
        every=timedelta(hours=1),
    ),
)


def chassis_retention(tables: Iterable[str]) -> tuple[Retention, ...]:
    """Return the retentions of the chassis' tables that a service has."""
    declared = frozenset(tables)
    return tuple(one for one in _OF_CHASSIS if one.name in declared)


class Pruning:
    """The job kind that deletes expired rows, and its schedules.

    Args:
        database: the service's database.
        retention: the retentions of the service.
        registry: where the counter of deleted rows is registered.
    """

    def __init__(
        self, *, database: Database, retention: Iterable[Retention], registry: CollectorRegistry
    ) -> None:
        self._database = database
        self._retention: Mapping[str, Retention] = {one.name: one for one in retention}
        self._pruned = Counter(
            "retention_pruned_rows_total",
            "Rows that were deleted, or erased in part, as their time had passed.",
            ["table"],
            registry=registry,
        )
        for name in self._retention:
            self._pruned.labels(name)

    @property
    def kind(self) -> OutsideJob[PruneRows, Any]:
        """The kind of these jobs."""
        return OutsideJob(PruneRows, self.prune, time_limit=600)

    @property
    def schedules(self) -> list[Schedule]:
        """One schedule for each retention."""
        return [
            Schedule(name=f"prune {one.name}", arguments=PruneRows(name=one.name), every=one.every)
            for one in self._retention.values()
        ]

    async def prune(self, arguments: PruneRows, _: OutsideRun[Any]) -> None:
        """Delete all expired rows of one retention, in small transactions."""
        retention = self._retention.get(arguments.name)
        if retention is None:  # an older release enqueued it, and this one lacks it
            return
        total = 0
        while True:
            async with self._database.transaction() as unit:
                rows = await retention.prune(unit, retention.batch)
            self._pruned.labels(retention.name).inc(rows)
            total += rows
            if rows < retention.batch:
                break
        if total:
            log.info("rows pruned", table=retention.name, rows=total)
