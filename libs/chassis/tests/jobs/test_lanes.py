"""A slot leases its next job while PostgreSQL commits its last one."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest

from chassis.jobs import Priority

from .conftest import WorkingService
from .working import SERVICE, Batched, Inside, Outside

_WAIT_AT_COMMIT = """
    CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(1);
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER wait_at_commit AFTER INSERT ON effects
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_at_commit();
"""

_WAITING = """
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%jobs%'
"""


class Commits:
    """Every COMMIT of an effect waits until `release`."""

    def __init__(self, lock: asyncpg.Connection) -> None:
        self._lock = lock

    async def release(self) -> None:
        await self._lock.execute("SELECT pg_advisory_unlock_all()")


@pytest.fixture
async def commits(service: WorkingService) -> AsyncIterator[Commits]:
    await service.urls.run_as_owner(_WAIT_AT_COMMIT)
    lock = await asyncpg.connect(service.urls.runtime_url)
    try:
        await lock.execute("SELECT pg_advisory_lock(1)")
        yield Commits(lock)
    finally:
        await lock.close()
        await service.urls.run_as_owner("DROP FUNCTION wait_at_commit CASCADE")


async def until_leased(service, number):
    async def leased():
        return Counter((await service.states()).values())["running"] == number

    await service.until(leased)


@pytest.mark.parametrize(
    ("kind", "queue", "together"), [(Inside, "default", 1), (Batched, "batches", 50)]
)
async def test_while_a_slot_commits_it_leases_its_next_jobs_and_no_further_ones(
    service, commits, kind, queue, together
):
    await service.enqueue(*(kind(number=n) for n in range(3 * together)))
    async with service.working(slots={queue: 1}):
        await until_leased(service, 2 * together)
        assert await service.effects() == []
        await commits.release()
        await service.until_states("done")
    assert await service.query("SELECT DISTINCT attempts FROM jobs") == [(1,)]
    assert sorted(await service.effects()) == list(range(3 * together))


async def test_a_job_that_becomes_due_while_a_slot_runs_still_goes_by_its_priority(
    service, commits
):
    await service.enqueue(Inside(number=1), Inside(number=2), Inside(number=3))
    async with service.working(slots={"default": 1}):
        await until_leased(service, 2)
        await service.enqueue(Inside(number=4), priority=Priority.HIGH)
        await commits.release()
        await service.until_states("done")
    assert await service.effects() == [1, 2, 4, 3]


async def test_a_worker_killed_while_it_commits_leaves_the_jobs_that_it_leased_next_to_the_others(
    service, commits
):
    """It has eight slots. What was in its COMMIT takes effect once, with or without that COMMIT."""
    numbers = list(range(17))
    await service.enqueue(*(Inside(number=n) for n in numbers))
    async with service.process() as killed:
        await until_leased(service, 16)
        killed.send_signal(signal.SIGKILL)
        await killed.wait()
    await commits.release()
    async with service.process():
        await service.until_states("done")
    assert sorted(await service.effects("inside")) == numbers
    attempts = await service.query("SELECT attempts FROM jobs WHERE id BETWEEN 9 AND 17")
    assert sorted(attempts) == [(1,)] + [(2,)] * 8


async def test_a_worker_that_stops_while_it_commits_hands_back_the_job_that_it_leased_next(
    service, commits
):
    async def stopping():
        rows = await service.query(
            "SELECT 1 FROM pg_stat_activity"
            " WHERE application_name = $1 AND datname = current_database()",
            f"{SERVICE}-jobs",
        )
        return not rows

    async def release_once_it_stops():
        await service.until(stopping)
        await commits.release()

    await service.enqueue(Inside(number=1), Inside(number=2))
    async with (
        asyncio.TaskGroup() as group,
        service.working(slots={"default": 1}, finish_seconds=30) as registry,
    ):
        await until_leased(service, 2)
        group.create_task(release_once_it_stops())
    rows = await service.query("SELECT state, attempts, lease FROM jobs ORDER BY id")
    assert rows == [("done", 1, None), ("waiting", 0, None)]
    labels = {"kind": Inside.kind, "outcome": "handed-back"}
    assert registry.get_sample_value("job_attempts_total", labels) == 1


async def test_a_job_that_is_cancelled_while_it_is_next_does_not_run(service, commits):
    await service.enqueue(Inside(number=1))
    await service.enqueue(Outside(number=2), unique_key="a")
    async with service.working(slots={"default": 1}, lease_seconds=0.3) as registry:
        await until_leased(service, 2)
        async with service.database.transaction() as unit:
            assert await service.jobs(unit).cancel(Outside, "a")

        async def dropped():
            labels = {"kind": Outside.kind, "outcome": "lost"}
            return registry.get_sample_value("job_attempts_total", labels) == 1

        await service.until(dropped)
        await commits.release()
        await service.until_states("done", "cancelled")
    assert await service.states() == {1: "done", 2: "cancelled"}
    assert await service.effects() == [1]


async def test_a_slot_whose_commit_fails_runs_its_next_job_all_the_same(service, commits):
    await service.enqueue(Inside(number=1), Inside(number=2))
    async with service.working(slots={"default": 1}):
        await until_leased(service, 2)
        rows = await service.query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'tests' AND query = 'COMMIT' AND state = 'active'"
            " AND datname = current_database()"
        )
        assert rows == [(True,)]
        await commits.release()
        await service.until_states("done")
    assert await service.query("SELECT id, attempts FROM jobs ORDER BY id") == [(1, 1), (2, 1)]
    assert sorted(await service.effects()) == [1, 2]


async def test_while_the_end_of_an_outside_job_is_recorded_its_slot_leases_nothing(service):
    """To record it may take as long as an outage; another worker may have the next lease then."""

    async def waits_for_the_lock():
        return bool(await service.query(_WAITING))

    await service.enqueue(Outside(number=1, seconds=1), Outside(number=2))
    lock = await asyncpg.connect(service.urls.runtime_url)
    try:
        async with service.working(slots={"default": 1}):
            await service.until_effects(1)  # its handler goes on for a second
            async with lock.transaction():
                await lock.execute("SELECT FROM jobs WHERE id = 1 FOR UPDATE")
                await service.until(waits_for_the_lock)
                assert (await service.states())[2] == "waiting"
            await service.until_effects(2)
    finally:
        await lock.close()
