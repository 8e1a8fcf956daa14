"""What becomes of a job: done, retried, dead; inside a transaction, outside, in a batch."""

from datetime import UTC, datetime, timedelta

import pytest

from chassis.jobs import ArgumentsTooLargeError, Priority, Retry
from chassis.jobs.arguments import JobArguments
from chassis.jobs.enqueueing import MAX_ARGUMENT_BYTES

from .working import Batched, Inside, Outside


@pytest.mark.parametrize("kind", [Inside, Outside, Batched])
async def test_a_job_has_its_effect_once_and_is_done(service, kind):
    await service.enqueue(*(kind(number=n) for n in range(120)))
    async with service.working():
        await service.until_states("done")
    assert sorted(await service.effects()) == list(range(120))
    rows = await service.query("SELECT DISTINCT attempts, lease, error FROM jobs")
    assert rows == [(1, None, None)]


async def test_a_job_exists_only_if_its_transaction_commits(service):
    async def fail():
        async with service.database.transaction() as unit:
            await service.jobs(unit).enqueue(Inside(number=1))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await service.states() == {}


async def test_a_waiting_worker_is_woken_by_a_commit(service):
    """Its next poll would be in an hour."""
    async with service.working(poll_seconds=3600):
        await service.enqueue(Inside(number=1))
        await service.until_states("done")


async def test_a_failed_job_is_tried_again_and_dead_after_its_last_attempt(service):
    await service.enqueue(Inside(number=1, fail="always"), Outside(number=2, fail="always"))
    async with service.working() as registry:
        await service.until_states("dead")
    rows = await service.query("SELECT attempts, error, state FROM jobs ORDER BY id")
    assert rows == [(3, f"RefusedError: {n} is refused", "dead") for n in (1, 2)]
    assert await service.effects("inside") == []
    assert await service.effects("outside%") == [2, 2, 2]
    for kind in (Inside, Outside):
        for outcome, number in (("failed", 2), ("dead", 1)):
            labels = {"kind": kind.kind, "outcome": outcome}
            assert registry.get_sample_value("job_attempts_total", labels) == number


@pytest.mark.parametrize("kind", [Inside, Outside, Batched])
async def test_a_handler_that_a_library_cancels_has_failed(service, kind):
    """The job waits for its next attempt, and not until its lease expires."""
    await service.enqueue(kind(number=1, fail="cancelled by a library"))
    async with service.working() as registry:
        await service.until_states("dead")
    assert await service.job("attempts") == (3,)
    labels = {"kind": kind.kind, "outcome": "failed"}
    assert registry.get_sample_value("job_attempts_total", labels) == 2


async def test_attempts_and_backoff_survive_a_restart(service):
    await service.enqueue(Inside(number=1, fail="always"))
    slowly = Retry(attempts=3, first_delay=10**6, longest_delay=10**6)
    for attempt in (1, 2, 3):
        await service.query("UPDATE jobs SET run_at = now()")
        async with service.working(retry=slowly):

            async def tried(attempt=attempt):
                state, attempts = await service.job("state, attempts")
                return state != "running" and attempts == attempt

            await service.until(tried)
    assert await service.job("state, attempts") == ("dead", 3)


async def test_a_backoff_is_kept_in_the_row_and_measured_by_the_database(service):
    await service.enqueue(Inside(number=1, fail="always"))
    async with service.working(retry=Retry(attempts=2, first_delay=10**6, longest_delay=10**6)):

        async def failed():
            return (await service.job("attempts, state")) == (1, "waiting")

        await service.until(failed)
    (later,) = await service.job("run_at - started_at < interval '11 days 14 hours'")
    assert later


async def test_a_job_that_can_never_go_well_is_dead_at_once(service):
    await service.enqueue(Inside(number=1, fail="permanently"))
    async with service.working():
        await service.until_states("dead")
    assert await service.job("attempts, error") == (
        1,
        "PermanentError: 1 can never go well",
    )


async def test_a_postponed_job_is_due_again_after_its_delay_and_not_counted(service):
    await service.enqueue(
        *(kind(number=1, fail="postponed") for kind in (Inside, Outside, Batched))
    )
    later = (
        "SELECT count(*) FROM jobs WHERE state = 'waiting' AND attempts = 0 AND error IS NULL"
        " AND run_at BETWEEN now() + interval '50 minutes' AND now() + interval '1 hour'"
    )
    async with service.working(retry=Retry(attempts=1)):

        async def postponed():
            return await service.query(later) == [(3,)]

        await service.until(postponed)
    # Only what was done outside a transaction stays.
    assert await service.query("SELECT by FROM effects") == [("outside, attempt 1",)]


async def test_a_job_that_takes_too_long_fails(service):
    await service.enqueue(Inside(number=1, seconds=600), Outside(number=2, seconds=600))
    async with service.working(time_limit=0.05):
        await service.until_states("dead")
    rows = await service.query("SELECT error FROM jobs ORDER BY id")
    assert rows == [
        (f"JobTimeoutError: works.{where}.v1 took longer than 0.05 s",)
        for where in ("inside", "outside")
    ]


async def test_an_unavailable_third_party_counts_as_the_jobs_failure(service):
    await service.enqueue(Outside(number=1, fail="connection"))
    async with service.working():
        await service.until_states("dead")


async def test_one_bad_job_of_a_batch_fails_alone(service):
    await service.enqueue(*(Batched(number=n, fail="always" if n == 7 else "") for n in range(20)))
    async with service.working():
        await service.until_states("done", "dead")
    assert sorted(await service.effects()) == [n for n in range(20) if n != 7]
    assert await service.query("SELECT attempts FROM jobs WHERE state = 'dead'") == [(3,)]
    assert await service.query("SELECT DISTINCT attempts FROM jobs WHERE state = 'done'") == [(1,)]


async def test_jobs_of_a_batch_run_in_one_transaction(service):
    await service.enqueue(*(Batched(number=n) for n in range(130)))
    async with service.working():
        await service.until_states("done")
    rows = await service.query(
        "SELECT by, count(*), count(DISTINCT xmin::text) FROM effects GROUP BY by"
    )
    assert sorted(rows) == [("batch of 30", 30, 1), ("batch of 50", 100, 2)]


class Undeclared(JobArguments):
    kind = "works.undeclared.v1"


async def test_a_kind_that_only_a_newer_release_has_waits_for_it(service):
    """During a rollout, an older worker leases it."""
    await service.enqueue(Undeclared())
    async with service.working() as registry:

        async def leased_once():
            return (await service.job("error"))[0] is not None

        await service.until(leased_once)
        await service.until_states("waiting")
    state, attempts, error = await service.job("state, attempts, error")
    assert (state, attempts) == ("waiting", 0)
    assert "declares no job works.undeclared.v1" in error
    labels = {"kind": "undeclared", "outcome": "undeclared"}
    assert registry.get_sample_value("job_attempts_total", labels) == 1


async def test_an_old_job_that_meets_an_older_worker_waits_as_long_as_a_new_one(service):
    """A job that was delayed, retried or redriven is old; a rollback makes its kind undeclared."""
    await service.enqueue(Undeclared())
    await service.query("UPDATE jobs SET enqueued_at = now() - interval '1 day'")
    async with service.working():

        async def leased_once():
            return (await service.job("error"))[0] is not None

        await service.until(leased_once)
    assert await service.job("state, undeclared_since > now() - interval '1 min'") == (
        "waiting",
        True,
    )


async def test_a_failure_of_a_declared_kind_ends_the_wait_for_its_declaration(service):
    """Otherwise the next rollback would find the wait over."""
    await service.enqueue(Inside(number=1, fail="postponed"))
    await service.query("UPDATE jobs SET undeclared_since = now() - interval '1 day'")
    async with service.working():

        async def postponed():
            return (await service.job("run_at > now()"))[0]

        await service.until(postponed)
    assert await service.job("state, undeclared_since") == ("waiting", None)


async def test_a_kind_that_nobody_declares_is_dead_and_says_why(service):
    await service.enqueue(Undeclared())
    await service.query("UPDATE jobs SET undeclared_since = now() - interval '16 min'")
    async with service.working():
        await service.until_states("dead")
    assert "declares no job works.undeclared.v1" in (await service.job("error"))[0]


@pytest.mark.parametrize(
    "arguments", ['{"number": "secret"}', "[]", "{}", '{"number": 1, "seconds": {"a": "secret"}}']
)
async def test_arguments_that_do_not_fit_are_dead_and_not_quoted(service, arguments):
    await service.enqueue(Inside(number=1))
    await service.query(f"UPDATE jobs SET arguments = '{arguments}'")
    async with service.working():
        await service.until_states("dead")
    attempts, error = await service.job("attempts, error")
    assert attempts == 1
    assert error.startswith("the arguments do not fit works.inside.v1: ")
    assert "secret" not in error


async def test_a_field_of_a_newer_release_is_ignored(service):
    await service.enqueue(Inside(number=1))
    await service.query("""UPDATE jobs SET arguments = '{"number": 5, "newer": true}'""")
    async with service.working():
        await service.until_states("done")
    assert await service.effects() == [5]


async def test_any_text_survives_in_arguments(service):
    class WithText(Inside):
        kind = "works.inside.v1"
        text: str

    await service.enqueue(WithText(number=1, text="a\0b\u2028 '\"\\"))
    [job] = await service.lease()
    assert WithText.model_validate_json(job.arguments).text == "a\0b\u2028 '\"\\"


async def test_jobs_are_leased_by_priority_then_time_then_age(service):
    past = datetime.now(UTC) - timedelta(hours=1)
    await service.enqueue(Inside(number=1), priority=Priority.LOW)
    await service.enqueue(Inside(number=2))
    await service.enqueue(Inside(number=3), run_at=past)
    await service.enqueue(Inside(number=4), priority=Priority.HIGH)
    await service.enqueue(Inside(number=5))
    await service.enqueue(Inside(number=6), priority=Priority.HIGH, delay=timedelta(hours=1))
    first = await service.lease(limit=3)
    assert [job.id for job in first] == [4, 3, 2]
    assert [job.id for job in await service.lease()] == [5, 1]


async def test_a_job_of_a_later_time_waits_for_it(service):
    await service.enqueue(Inside(number=1), delay=timedelta(hours=1))
    assert await service.lease() == []
    await service.query("UPDATE jobs SET run_at = now()")
    assert len(await service.lease()) == 1


async def test_of_a_unique_key_one_is_unfinished_at_a_time(service):
    [first] = await service.enqueue(Inside(number=1), unique_key="a")
    assert first is not None
    assert await service.enqueue(Inside(number=2), unique_key="a") == [None]
    assert await service.enqueue(Outside(number=3), unique_key="a") != [None]
    [other] = await service.enqueue(Inside(number=4), unique_key="b")
    assert other is not None
    async with service.working():
        await service.until_states("done")
    assert await service.enqueue(Inside(number=5), unique_key="a") != [None]


async def test_many_are_enqueued_by_one_statement(service):
    async with service.database.transaction() as unit:
        jobs = service.jobs(unit)
        ids = await jobs.enqueue_many([Inside(number=n) for n in range(1000)])
        assert await jobs.enqueue_many([]) == []
        with pytest.raises(ValueError, match=r"works\.inside\.v1 and works\.outside\.v1"):
            await jobs.enqueue_many([Inside(number=1), Outside(number=1)])
    assert ids == list(range(1, 1001))


async def test_what_can_not_be_enqueued_is_refused(service):
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - it must be rejected
    async with service.database.transaction() as unit:
        jobs = service.jobs(unit)
        with pytest.raises(ValueError, match="no time zone"):
            await jobs.enqueue(Inside(number=1), run_at=naive)
        with pytest.raises(ArgumentsTooLargeError, match="pass a reference"):
            await jobs.enqueue(Inside(number=1, fail="x" * MAX_ARGUMENT_BYTES))


async def test_a_waiting_job_can_be_cancelled_by_its_key(service):
    await service.enqueue(Inside(number=1), unique_key="a", delay=timedelta(hours=1))
    async with service.database.transaction() as unit:
        jobs = service.jobs(unit)
        assert await jobs.cancel(Inside, "a")
        assert not await jobs.cancel(Inside, "a")
        assert not await jobs.cancel(Outside, "a")
    assert await service.states() == {1: "cancelled"}


async def test_a_running_job_outside_a_transaction_is_stopped_when_it_is_cancelled(service):
    await service.enqueue(Outside(number=1, seconds=15), unique_key="a")
    async with service.working(lease_seconds=0.3, time_limit=20):
        await service.until_effects(1)
        async with service.database.transaction() as unit:
            assert await service.jobs(unit).cancel(Outside, "a")
        await service.enqueue(Outside(number=2), unique_key="a")
        await service.until_states("done", "cancelled")
    assert await service.states() == {1: "cancelled", 2: "done"}
