"""Whatever is killed, cut or frozen: committed events and jobs take effect as they promise.

`make chaos` runs the long form. CHAOS_SEED repeats the faults of a run. CHAOS_EVENTS and
CHAOS_SECONDS set the number of events and the duration.
"""

import asyncio
import os
import random
import time

import pytest

from .checker import check, check_topic
from .faults import Faults
from .job_checker import check_jobs
from .job_kinds import Batched, Inside, Outside
from .system import running_system
from .verifying import verified
from .writers import Writers

# The test has its own deadlines, and may run for a long time.
pytestmark = [pytest.mark.xdist_group("own servers"), pytest.mark.timeout(0)]

AGGREGATES = 200
START_SECONDS = 90.0
STANDSTILL_SECONDS = 90.0  # a watchdog may have to rebuild two consumers
QUIET_SECONDS = 900.0
LONG_SECONDS = 90  # long enough for each kind of fault
SHOWN = 30


@pytest.fixture
def say(tmp_path):
    print(f"logs and servers' data: {tmp_path}")
    return print


async def until_at_work(system):
    """Wait until events reach the last effect: faults only count in a system that works."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            if await system.reader.effects():
                return
            await asyncio.sleep(0.1)


async def break_while_writing(system, *, seed, events, seconds, say):
    """Inject faults for this many seconds while users write. Return when all is written."""
    long = seconds >= LONG_SECONDS
    faults = Faults(system=system, seed=seed, long=long, say=say)
    writers = Writers(
        database=system.database,
        wakeups=system.wakeups,
        seed=seed,
        aggregates=AGGREGATES,
        events=events,
        seconds=seconds,
    )
    async with asyncio.TaskGroup() as group:
        hints = group.create_task(system.wakeups.run())
        writing = group.create_task(writers.run())
        await until_at_work(system)
        await faults.run(seconds)
        writers.hurry()
        await writing
        hints.cancel()
    say(
        f"{writers.committed} events, {writers.rolled_back} transactions rolled back, "
        f"{writers.interrupted} interrupted"
    )
    missed = [kind for kind, times in faults.done.items() if not times]
    assert not (long and missed), f"CHAOS_SEED={seed} never met: {missed}"


async def until_quiet(system, say):
    """Wait until nothing is on its way any more; return what can't make progress."""
    runs = await system.jobs.runs()
    began = changed = time.monotonic()
    left = ["everything"]
    while left:
        before = left
        left = [*await system.reader.in_progress(), *await system.jobs.in_progress(runs)]
        now = time.monotonic()
        changed = now if left != before else changed
        if now - changed > STANDSTILL_SECONDS or now - began > QUIET_SECONDS:
            return [f"not quiet {now - began:.0f} s after the last fault: {one}" for one in left]
        await asyncio.sleep(0.3)
    say(f"quiet after {time.monotonic() - began:.1f} s")
    return []


async def test_no_fault_loses_doubles_or_inverts_an_event_or_a_job(tmp_path, tokens, say):
    seed = os.environ.get("CHAOS_SEED") or str(random.randrange(1_000_000))
    events = int(os.environ.get("CHAOS_EVENTS") or 1500)
    seconds = float(os.environ.get("CHAOS_SECONDS") or 8)
    say(f"CHAOS_SEED={seed} CHAOS_EVENTS={events} CHAOS_SECONDS={seconds:g}")
    async with running_system(directory=tmp_path, jwks_file=tokens.jwks_file, seed=seed) as system:
        await break_while_writing(system, seed=seed, events=events, seconds=seconds, say=say)
        in_progress = await until_quiet(system, say)
        await asyncio.gather(*(worker.stop() for worker in system.workers))
        accounts, receipts = await system.reader.accounts(), await system.reader.receipts()
        say(
            f"{len(accounts.committed)} committed, {len(accounts.topic)} messages, "
            f"{len(accounts.effects)} effects, {len(accounts.parked)} parked for good"
        )
        differing = await verified(system.reader)
        jobs = await system.jobs.history()
        say(
            f"{len(jobs.enqueues)} jobs enqueued, {len(jobs.rows)} in all, "
            f"{len(jobs.effects)} effects"
        )
    found = [*check(accounts), *check_topic(receipts), *check_jobs(jobs), *differing]
    findings = [*in_progress, *system.complaints, *map(str, found)]
    shown = "\n".join(findings[:SHOWN])
    assert not findings, f"CHAOS_SEED={seed}: {len(findings)} findings\n{shown}"
    assert len(accounts.committed) >= events
    assert {one.kind for one in jobs.enqueues} == {Inside.kind, Batched.kind, Outside.kind}
