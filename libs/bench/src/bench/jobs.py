"""Durable jobs: inside a transaction beside pgbench, in batches, their start, and a long queue."""

import json
import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

from bench.backbone import Backbone, open_backbone
from bench.job_sides import CONNECTIONS, EFFECT, Moved, MovedTogether
from bench.machine import python_versions
from bench.pgbench import Pgbench
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Ratio, Sample, Side, rate, ratio, take_turns
from bench.tools import output_of
from chassis.jobs.settling import COMPLETE
from slipway.errors import SlipwayError

INSIDE = "jobs inside a transaction"
PGBENCH = "pgbench"
_PEER = 0.4
_BATCHES_BAR = 8_000
_PICK_UP_BAR = 5
_LONG_BAR = 1.2
_FEW, _MANY = 1_000, 1_000_000
_MOST_A_SECOND = 20_000
_MOST_IN_BATCHES = 60_000
_STARTING_SECONDS = 1  # a side runs for so long before it measures
_FILL_SECONDS = 300
_LEASE = "00000000-0000-7000-8000-00000000000f"
_FILL = """
    INSERT INTO jobs (queue, kind, arguments, priority, state, lease, lease_until)
    SELECT $2, $3, json_build_object('number', n), 2, $4, $5,
           CASE WHEN $4 = 'running' THEN now() + interval '1 day' END
    FROM generate_series(1, $1::bigint) AS n
"""
_METHOD = f"""\
Jobs of one integer, with one row of effect, in one worker process with {CONNECTIONS} slots.
pgbench runs the transaction of such a job with its very statements, prepared, on as many
connections, and in as many round trips: BEGIN with completion by id and lease, the effect, commit.
What a worker does besides, pgbench does not: leases, validation, metrics. From commit to start is
measured in a worker that is idle.
Pages of 10 jobs are leased from a queue of {_FEW:,} and from one of {_MANY:,}.
"""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    return await compare_jobs(rig, await open_backbone(rig), pace, many=_MANY)


async def compare_jobs(rig: Rig, backbone: Backbone, pace: Pace, *, many: int) -> Finding:
    """Measure each side in turns; the long queue has `many` jobs."""
    script = rig.state.servers / "job.sql"
    inside: dict[str, Side] = {
        INSIDE: partial(_inside, backbone),
        PGBENCH: partial(pgbench_side, backbone, script),
    }
    samples = dict(await take_turns(inside, pace, rig.reporter.say))
    samples |= await take_turns({"batches": partial(_batches, backbone)}, pace, rig.reporter.say)
    await fill(backbone, 0)
    started = await side(backbone, "pick-up", pace.seconds * pace.sweeps)
    pages: dict[str, Side] = {
        "a short queue": partial(_lease, backbone, _FEW),
        "a long queue": partial(_lease, backbone, many),
    }
    samples |= await take_turns(pages, pace, rig.reporter.say)
    delay = median(started["latencies"])
    return Finding(
        title="Jobs",
        lines=[
            Line(
                what=INSIDE,
                measured=ratio(samples[INSIDE], samples[PGBENCH]),
                unit="pgbench with the same statements",
                bar=_PEER,
            ),
            Line(
                what="jobs in batches, one process",
                measured=rate(samples["batches"]),
                unit="jobs/s",
                bar=_BATCHES_BAR,
                plain=True,
            ),
            Line(
                what="commit → start of a job, p50",
                measured=Ratio.of([delay]),
                unit="ms",
                bar=_PICK_UP_BAR,
                plain=True,
                at_most=True,
            ),
            Line(
                what="lease from a million waiting jobs",
                measured=ratio(samples["a short queue"], samples["a long queue"]),
                unit="the same from a thousand",
                bar=_LONG_BAR,
                at_most=True,
            ),
        ],
        method=_METHOD,
        samples=samples,
        versions=python_versions("asyncpg", "sqlalchemy", "pydantic", "uvloop"),
    )


async def _inside(backbone: Backbone, seconds: float) -> Sample:
    jobs = round((seconds + _STARTING_SECONDS) * _MOST_A_SECOND)
    await fill(backbone, jobs)
    return _sample(await side(backbone, "inside", seconds, jobs=jobs))


async def _batches(backbone: Backbone, seconds: float) -> Sample:
    jobs = round((seconds + _STARTING_SECONDS) * _MOST_IN_BATCHES)
    await fill(backbone, jobs, queue=MovedTogether.queue, kind=MovedTogether.kind)
    return _sample(await side(backbone, "batches", seconds, jobs=jobs))


async def _lease(backbone: Backbone, jobs: int, seconds: float) -> Sample:
    await fill(backbone, jobs)
    return _sample(await side(backbone, "lease", seconds))


async def pgbench_side(
    backbone: Backbone, script: Path, seconds: float, *, jobs: int | None = None
) -> Sample:
    """Run the very statements of a job, and like it BEGIN and completion in one round trip.

    Raises:
        SlipwayError: it ran out of jobs, of which it has as many as it can need.
    """
    jobs = jobs or round(seconds * _MOST_A_SECOND)
    await fill(backbone, jobs, state="running")
    completion = COMPLETE.format(id=":id", lease=_LEASE)
    lines = (
        "\\set n :n + 1",
        f"\\set id :client_id + 1 + :n * {CONNECTIONS}",
        "\\startpipeline",
        "BEGIN;",
        f"{' '.join(completion.split())};",
        "\\endpipeline",
        f"{EFFECT.replace('$1', ':n')};",
        "COMMIT;",
    )
    script.write_text("\n".join(lines) + "\n")  # noqa: ASYNC240 - nothing else runs meanwhile
    load = Pgbench(
        url=backbone.runtime_url, file=script, definitions={"n": "-1"}, options="-c jit=off"
    )
    sample = await load.run(seconds, clients=CONNECTIONS)
    done = await backbone.ask("SELECT count(*) FROM jobs WHERE state = 'done'")
    if done < await backbone.ask("SELECT count(*) FROM moves"):  # effects of jobs that are none
        raise _ran_out(PGBENCH, jobs)
    return sample


async def fill(
    backbone: Backbone,
    jobs: int,
    *,
    queue: str = Moved.queue,
    kind: str = Moved.kind,
    state: str = "waiting",
) -> None:
    """Fill the table with exactly this number of jobs."""
    superuser = await asyncpg.connect(backbone.postgres.url())
    try:
        await superuser.execute("SET search_path = bench")
        await superuser.execute("TRUNCATE jobs, moves RESTART IDENTITY")
        lease = _LEASE if state == "running" else None
        await superuser.execute(_FILL, jobs, queue, kind, state, lease, timeout=_FILL_SECONDS)
        await superuser.execute("VACUUM ANALYZE jobs", timeout=_FILL_SECONDS)
        await superuser.execute("CHECKPOINT", timeout=_FILL_SECONDS)
    finally:
        await superuser.close()


async def side(
    backbone: Backbone, name: str, seconds: float, *, jobs: float = math.inf
) -> dict[str, Any]:
    """Run one side in a separate process; void if it ran out of `jobs`."""
    environment = {**backbone.environment, "ENVIRONMENT": "development"}
    command: Sequence[str] = (sys.executable, "-m", "bench.job_sides", name, f"{seconds:g}")
    output = await output_of(*command, environment=environment)
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    if found.get("all", 0) >= jobs:
        raise _ran_out(name, jobs)
    return found


def _ran_out(side: str, jobs: float) -> SlipwayError:
    return SlipwayError(
        f"{side} ran out of its {jobs:,.0f} jobs before the round's end, so the round is void. Run "
        "the row again; if it is void each time, give it more jobs (bench.jobs)."
    )


def _sample(found: dict[str, Any]) -> Sample:
    return Sample(operations=found["operations"], seconds=found["seconds"], cpu=found.get("cpu"))
