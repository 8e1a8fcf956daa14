"""Reads the history of jobs from the ledger's schema, and says which are still on their way."""

from dataclasses import dataclass

from .job_history import Enqueue, JobEffect, JobHistory, JobRow
from .job_kinds import PERIOD, Outside, Tick, Tock
from .reading import fetch

_MICROSECONDS = "(extract(epoch FROM {}) * 1000000)::bigint"
_ENQUEUED = f"""
    SELECT name::text, kind, unique_key, job_id IS NOT NULL, doomed,
        {_MICROSECONDS.format("began")}, {_MICROSECONDS.format("made_at")}
    FROM enqueued
"""
_ROWS = f"""
    SELECT coalesce(arguments ->> 'name', id::text), kind, state,
        {_MICROSECONDS.format("finished_at")},
        floor(extract(epoch FROM enqueued_at - next_run_at) / {PERIOD.total_seconds()})::bigint
    FROM jobs LEFT JOIN job_schedules AS s ON s.name = kind
    WHERE kind LIKE 'chaos.%'
"""
_EFFECTS = f"SELECT name, {_MICROSECONDS.format('at')} FROM job_effects"
_UNFINISHED = f"""
    SELECT kind, id, state FROM jobs
    WHERE kind LIKE 'chaos.%' AND kind NOT IN ('{Tick.kind}', '{Tock.kind}')
        AND state IN ('waiting', 'running') ORDER BY id
"""
_RUNS = f"""
    SELECT kind, (SELECT max(id) FROM jobs WHERE jobs.kind = k.kind AND state = 'done')
    FROM unnest(ARRAY['{Tick.kind}', '{Tock.kind}']) AS k (kind)
"""


@dataclass(frozen=True, slots=True)
class JobReader:
    """Where the history of jobs is: the address of the ledger's schema."""

    url: str

    async def history(self) -> JobHistory:
        """Return what became of all jobs."""
        return JobHistory(
            enqueues=[
                Enqueue(
                    name=name,
                    kind=kind,
                    key=key,
                    created=created,
                    doomed=doomed,
                    began=began,
                    made_at=made_at,
                )
                for name, kind, key, created, doomed, began, made_at in await fetch(
                    self.url, _ENQUEUED
                )
            ],
            rows=[
                JobRow(name=name, kind=kind, state=state, finished_at=finished_at, slot=slot)
                for name, kind, state, finished_at, slot in await fetch(self.url, _ROWS)
            ],
            effects=[JobEffect(*row) for row in await fetch(self.url, _EFFECTS)],
            repeatable=frozenset({Outside.kind, Tock.kind}),
        )

    async def runs(self) -> dict[str, int]:
        """Return the id of the last finished run of each schedule."""
        return {kind: last or 0 for kind, last in await fetch(self.url, _RUNS)}

    async def in_progress(self, before: dict[str, int]) -> list[str]:
        """Say what is still on its way; each schedule must have run since `before` was read."""
        unfinished = await fetch(self.url, _UNFINISHED)
        said = [
            f"no run of {k} is done" for k, last in (await self.runs()).items() if last <= before[k]
        ]
        if unfinished:
            kind, number, state = unfinished[0]
            said.append(f"{len(unfinished)} jobs are unfinished, such as {kind} {number}: {state}")
        return said
