"""Enqueues periodic jobs: one row for each schedule, locked in the transaction that enqueues.

One transaction enqueues a run and sets the row's next time. So no run is lost or doubled, even if a
process dies. The job's unique key is the schedule's name: while a run is unfinished, the next one
is skipped.

A next time is never later than the first run after the present. If it is, PostgreSQL's clock was
ahead when it was written, and the schedule would not run until then: for years, perhaps.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from chassis.database.database import Database
from chassis.database.unit import Unit
from chassis.jobs.enqueueing import Jobs
from chassis.jobs.schedules import Schedule

# A clock that is corrected by less must not repeat a run that has just moved its schedule on.
_CORRECTION = timedelta(minutes=1)

log = structlog.get_logger(__name__)

_NOW = "SELECT clock_timestamp() AS now"
# An unchanged schedule keeps its time. Otherwise it would never be due if workers restart often.
_DECLARE = """
    INSERT INTO job_schedules (name, timing, next_run_at) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET timing = excluded.timing, next_run_at = excluded.next_run_at
    WHERE job_schedules.timing <> excluded.timing
"""
_DUE = """
    SELECT name, next_run_at, now() AS now FROM job_schedules
    WHERE next_run_at <= now() AND name = ANY ($1::text[])
    ORDER BY name
"""
_LOCK_LATER = """
    SELECT name, timing, next_run_at FROM job_schedules
    WHERE next_run_at > now() AND name = ANY ($1::text[])
    ORDER BY name FOR UPDATE SKIP LOCKED
"""
_PULL_BACK = "UPDATE job_schedules SET next_run_at = $2 WHERE name = $1"
_MOVE = "UPDATE job_schedules SET next_run_at = $2, last_run_at = now() WHERE name = $1"


class Scheduler:
    """The schedules of one service; any number of workers may run it.

    Args:
        database: the service's database.
        schedules: the periodic jobs.
        jobs: creates the jobs of a transaction.
        check_seconds: the time between two checks of next times that a wrong clock has set.
    """

    def __init__(
        self,
        *,
        database: Database,
        schedules: Sequence[Schedule],
        jobs: Callable[[Unit], Jobs],
        check_seconds: float = 60.0,
    ) -> None:
        self._database = database
        self._schedules = {schedule.name: schedule for schedule in schedules}
        self._jobs = jobs
        self._declared = False
        self._check_seconds = check_seconds
        self._next_check = 0.0

    async def enqueue_due(self) -> list[str]:
        """Enqueue a job for each due schedule; return the names of those schedules."""
        if not self._schedules:
            return []
        async with self._database.transaction() as unit:
            if not self._declared:
                await self._declare(unit)
            if checks := time.monotonic() >= self._next_check:
                await self._pull_back(unit)
            due = await unit.fetch_locked(_DUE, list(self._schedules))
            for name, next_run_at, now in due:
                await self._enqueue(unit, self._schedules[name], next_run_at, now)
        self._declared = True
        if checks:
            self._next_check = time.monotonic() + self._check_seconds
        return [row["name"] for row in due]

    async def _declare(self, unit: Unit) -> None:
        [row] = await unit.fetch(_NOW)
        for name, schedule in sorted(self._schedules.items()):
            first = schedule.next_run(now=row["now"])
            await unit.fetch(_DECLARE, name, schedule.timing, first)

    async def _pull_back(self, unit: Unit) -> None:
        """Correct each next time that a clock which was ahead has set. It runs nothing."""
        locked = await unit.fetch(_LOCK_LATER, list(self._schedules))
        # Read after the locks: no holder before us can have moved a schedule by a later clock.
        [row] = await unit.fetch(_NOW)
        for name, timing, next_run_at in locked:
            schedule = self._schedules[name]
            if timing != schedule.timing:  # another release's
                continue
            if next_run_at > schedule.next_run(now=row["now"] + _CORRECTION):
                first = schedule.next_run(now=row["now"])
                await unit.execute(_PULL_BACK, name, first)
                log.warning(
                    "schedule pulled back",
                    schedule=name,
                    stored=next_run_at.isoformat(),
                    next_run=first.isoformat(),
                )

    async def _enqueue(self, unit: Unit, schedule: Schedule, due: datetime, now: datetime) -> None:
        enqueued = await self._jobs(unit).enqueue(schedule.arguments, unique_key=schedule.name)
        if enqueued is None:
            log.warning("periodic job skipped: the last run is unfinished", schedule=schedule.name)
        await unit.fetch(_MOVE, schedule.name, schedule.next_run(now=now, due=due))
