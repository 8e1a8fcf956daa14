"""Periodic jobs: when the next run is, and that no run is lost or doubled."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.backoff import full_jitter
from chassis.jobs import Jobs, Schedule
from chassis.jobs.scheduler import Scheduler

from .working import SERVICE, Ticked

MINUTE = timedelta(minutes=1)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "now", "following"),
    [
        ("30 3 * * *", "2026-03-01T03:29:59", "2026-03-01T03:30"),
        ("30 3 * * *", "2026-03-01T03:30", "2026-03-02T03:30"),
        ("*/15 * * * *", "2026-03-01T23:59", "2026-03-02T00:00"),
        ("0 0 29 2 *", "2026-03-01T00:00", "2028-02-29T00:00"),
        # The clocks of many countries change at these times; UTC does not.
        ("30 2 * * *", "2026-03-29T00:00", "2026-03-29T02:30"),
        ("30 2 * * *", "2026-10-25T02:30", "2026-10-26T02:30"),
    ],
)
def test_a_cron_expression_is_read_in_utc(cron, now, following):
    assert Schedule(arguments=Ticked(), cron=cron).next_run(now=at(now)) == at(following)


@given(
    every=st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=2)),
    late=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30)),
)
def test_an_interval_does_not_drift_and_makes_up_for_nothing(every, late):
    due = at("2026-03-01T00:00")
    schedule = Schedule(arguments=Ticked(), every=every)
    following = schedule.next_run(now=due + late, due=due)
    assert due + late < following <= due + late + every
    assert (following - due) % every == timedelta(0)


def test_a_clock_that_was_set_back_lets_the_next_interval_begin_now():
    schedule = Schedule(arguments=Ticked(), every=MINUTE)
    now = at("2026-03-01T00:00")
    assert schedule.next_run(now=now, due=now + timedelta(hours=3)) == now + MINUTE
    assert schedule.next_run(now=now) == now + MINUTE


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "either cron or every"),
        ({"cron": "* * * * *", "every": MINUTE}, "either cron or every"),
        ({"every": timedelta(milliseconds=999)}, "1 s is the least"),
        ({"cron": "every day"}, "names no time"),
        ({"cron": "0 0 31 2 *"}, "names no time"),
    ],
)
def test_a_schedule_that_names_no_time_is_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        Schedule(arguments=Ticked(), **options)


@given(attempts=st.integers(1, 10**6))
def test_a_backoff_is_between_nothing_and_a_bound_that_doubles(attempts):
    delay = full_jitter(attempts, first=1, longest=300)
    assert 0 <= delay <= min(300, 2.0 ** min(attempts - 1, 20))


def scheduler(service, *schedules, **options):
    return Scheduler(
        database=service.database,
        schedules=schedules or [Schedule(arguments=Ticked(), every=MINUTE)],
        jobs=lambda unit: Jobs(unit=unit, service=SERVICE, wakeups=service.wakeups),
        **options,
    )


async def let_be_due(service, by="1 s"):
    await service.query(f"UPDATE job_schedules SET next_run_at = now() - interval '{by}'")


async def finish(service):
    await service.query("UPDATE jobs SET state = 'done', finished_at = now()")


async def test_a_new_schedule_runs_at_its_next_time(service):
    assert await scheduler(service).enqueue_due() == []
    assert await service.states() == {}
    await let_be_due(service)
    assert await scheduler(service).enqueue_due() == [Ticked.kind]
    assert await service.states() == {1: "waiting"}


async def test_schedulers_of_many_workers_enqueue_a_run_once(service):
    await scheduler(service).enqueue_due()
    for turn in range(1, 6):
        await let_be_due(service)
        await asyncio.gather(*(scheduler(service).enqueue_due() for _ in range(8)))
        assert len(await service.states()) == turn
        await finish(service)


async def test_one_run_makes_up_for_a_long_downtime(service):
    await scheduler(service).enqueue_due()
    await let_be_due(service, by="3 days")
    for _ in range(3):
        await scheduler(service).enqueue_due()
        await finish(service)
    assert len(await service.states()) == 1
    [(later,)] = await service.query("SELECT next_run_at > now() FROM job_schedules")
    assert later


async def test_a_crash_between_enqueueing_and_moving_on_leaves_neither(service, monkeypatch):
    await scheduler(service).enqueue_due()
    await let_be_due(service)
    dying = scheduler(service)

    def die(*_, **__):
        message = "killed"
        raise RuntimeError(message)

    monkeypatch.setattr(Schedule, "next_run", die)
    dying._declared = True
    with pytest.raises(RuntimeError, match="killed"):
        await dying.enqueue_due()
    monkeypatch.undo()
    assert await service.states() == {}
    await scheduler(service).enqueue_due()
    assert len(await service.states()) == 1


async def test_a_run_does_not_join_one_that_is_unfinished(service):
    await scheduler(service).enqueue_due()
    for _ in range(2):
        await let_be_due(service)
        await scheduler(service).enqueue_due()
    assert len(await service.states()) == 1
    await service.query("UPDATE jobs SET state = 'dead', finished_at = now()")
    await let_be_due(service)
    await scheduler(service).enqueue_due()
    assert list((await service.states()).values()) == ["dead", "waiting"]


async def test_a_restart_does_not_put_a_run_off_and_a_change_counts_at_once(service):
    await scheduler(service).enqueue_due()
    [before] = await service.query("SELECT next_run_at FROM job_schedules")
    await scheduler(service).enqueue_due()
    assert await service.query("SELECT next_run_at FROM job_schedules") == [before]
    await scheduler(service, Schedule(arguments=Ticked(), cron="0 0 1 1 *")).enqueue_due()
    [(timing, month)] = await service.query(
        "SELECT timing, extract(month FROM next_run_at AT TIME ZONE 'UTC') FROM job_schedules"
    )
    assert (timing, month) == ("cron 0 0 1 1 *", 1)


async def test_workers_that_come_and_go_run_a_periodic_job_once_a_turn(service):
    """The workers are processes. Each run of the schedule has at most one job, and one effect."""
    for _ in range(2):
        async with service.process(), service.process():
            count = len(await service.effects("ticked"))
            await service.until_effects(count + 2)
    async with service.process():
        await service.until_effects(len(await service.effects()) + 1)
    effects = await service.effects("ticked")
    assert len(effects) == len(set(effects))
    rows = await service.query(
        "SELECT count(*), count(DISTINCT date_trunc('second', enqueued_at)) FROM jobs"
    )
    assert rows[0][0] >= 4


@pytest.mark.parametrize("timing", [{"every": MINUTE}, {"cron": "* * * * *"}])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_schedule_whose_next_run_a_wrong_clock_put_years_ahead_runs_again(
    service, timing, restarted
):
    schedule = Schedule(arguments=Ticked(), **timing)
    one = scheduler(service, schedule, check_seconds=0)
    await one.enqueue_due()
    await service.query("UPDATE job_schedules SET next_run_at = now() + interval '10 years'")
    await (scheduler(service, schedule) if restarted else one).enqueue_due()
    [(soon,)] = await service.query(
        "SELECT next_run_at < now() + interval '2 minutes' FROM job_schedules"
    )
    assert soon
    assert await service.states() == {}


async def test_a_clock_that_is_corrected_by_seconds_does_not_repeat_a_run(service):
    schedule = Schedule(arguments=Ticked(), cron="* * * * *")
    one = scheduler(service, schedule, check_seconds=0)
    await one.enqueue_due()
    await service.query(
        "UPDATE job_schedules SET next_run_at = date_trunc('minute', now()) + interval '2 min'"
    )
    [before] = await service.query("SELECT next_run_at FROM job_schedules")
    await one.enqueue_due()
    assert await service.query("SELECT next_run_at FROM job_schedules") == [before]
