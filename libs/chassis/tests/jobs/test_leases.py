"""Leases: who may run a job and settle it, when workers stop, die, freeze, or lose PostgreSQL."""

import asyncio
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from chassis.database import Connector, Database, is_infrastructure_error
from chassis.database.connecting import QUEUE_PLANS
from chassis.jobs.leases import Leases
from chassis.jobs.settling import (
    LEASE_EXPIRED,
    Fate,
    complete,
    hand_back,
    settle,
    take_expired,
)
from chassis.jobs.tables import DEAD, WAITING

from .conftest import end_connections, running
from .working import SERVICE, Batched, Inside, Outside, kinds, make_worker


async def expire(service):
    async with service.database.transaction() as unit:
        return await take_expired(unit, kinds())


async def completed(service, *jobs):
    async with service.database.transaction() as unit:
        return await complete(unit, jobs)


async def test_two_workers_at_once_lease_different_jobs(service):
    await service.enqueue(*(Inside(number=n) for n in range(100)))
    async with service.leases() as one, service.leases() as other:
        pages = await asyncio.gather(*(each.lease("default", 10) for each in (one, other) * 5))
    ids = [job.id for page in pages for job in page]
    assert sorted(ids) == list(range(1, 101))
    assert len({page[0].lease for page in pages}) == 10


async def test_a_lease_locks_no_row_beyond_what_it_takes(service):
    """The next worker would skip a row that is locked but not leased."""
    await service.enqueue(*(Inside(number=n) for n in range(5)))
    first = await service.lease(limit=2)
    assert [job.id for job in first] == [1, 2]
    assert [job.id for job in await service.lease(limit=9)] == [3, 4, 5]


_NOTE_DURABILITY = """
    CREATE FUNCTION note_durability() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.error := concat_ws(' ', NEW.error, NEW.state, current_setting('synchronous_commit'));
        RETURN NEW;
    END $$;
    CREATE TRIGGER note_durability BEFORE UPDATE ON jobs
    FOR EACH ROW EXECUTE FUNCTION note_durability();
"""


async def test_between_lease_and_completion_a_crash_of_postgresql_may_undo_only_inside_leases(
    service, database_settings
):
    """The queue of batches runs inside transactions; a kind of the default queue does not.

    Each completion waits for the disk, and with it for all that is earlier in the log: its lease.
    """
    url = SecretStr(f"{service.urls.runtime_url}?synchronous_commit=on")
    settings = database_settings.model_copy(update={"database_url": url})
    await service.urls.run_as_owner(_NOTE_DURABILITY)
    try:
        await service.enqueue(Batched(number=1), Inside(number=2), Outside(number=3))
        async with Database(settings=settings, application_name="durable").opened() as database:
            worker = make_worker(database, service.wakeups, registry=CollectorRegistry())
            async with running(worker.run()):
                await service.until_states("done")
    finally:
        await service.urls.run_as_owner("DROP FUNCTION note_durability CASCADE")
    assert await service.query("SELECT queue, error FROM jobs ORDER BY id") == [
        ("batches", "running off done on"),
        ("default", "running on done on"),
        ("default", "running on done on"),
    ]


async def test_a_lease_that_need_not_be_durable_leaves_the_setting_of_its_connection(service):
    await service.enqueue(Inside(number=1), Inside(number=2))
    connector = Connector.to(service.urls.runtime_url)
    settings = QUEUE_PLANS | {"synchronous_commit": "on"}
    async with connector.opened("tests", settings=settings) as connection:
        leases = Leases(connection=connection, duration=timedelta(seconds=30), unsure=set())
        for number in (1, 2):
            [job] = await leases.lease("default", 1, durable=False)
            assert job.id == number
            assert await connection.fetchval("SHOW synchronous_commit") == "on"


async def test_a_job_that_is_taken_between_effect_and_completion_has_its_effect_once(service):
    """The late worker's completion changes no row, so its transaction has no effect."""
    await service.enqueue(Inside(number=1))
    [late] = await service.lease()
    await service.expire_leases()
    assert await expire(service) == {WAITING: 1}
    await service.query("UPDATE jobs SET run_at = now()")
    [taken] = await service.lease()
    assert (taken.id, taken.attempts) == (late.id, 2)
    assert await completed(service, late) == set()
    assert await completed(service, taken) == {taken.id}
    assert await completed(service, taken) == set()


@pytest.mark.parametrize("state", [WAITING, DEAD])
async def test_a_late_failure_marks_nothing_of_the_worker_that_has_the_job_now(service, state):
    await service.enqueue(Outside(number=1))
    [late] = await service.lease()
    await service.expire_leases()
    await expire(service)
    await service.query("UPDATE jobs SET run_at = now()")
    [taken] = await service.lease()
    async with service.database.transaction() as unit:
        assert not await settle(unit, late, Fate(state=state, error="late", delay=0))
        assert await hand_back(unit, [late.lease]) == 0
    assert await service.job("state, lease, error") == ("running", taken.lease, LEASE_EXPIRED)


async def test_a_completion_in_an_open_transaction_keeps_the_expired_job_from_others(service):
    """Between the completion and its commit the lease expires: the row's lock still holds."""
    await service.enqueue(Inside(number=1))
    [job] = await service.lease()
    await service.expire_leases()
    async with service.database.transaction() as unit:
        assert await complete(unit, [job]) == {job.id}
        assert await expire(service) == {}
        async with service.leases() as leases:
            assert await leases.renew([(job.id, job.lease)]) == set()
    assert await service.job("state") == ("done",)


async def test_between_a_completion_sent_with_begin_and_its_commit_a_killed_session_changes_nothing(
    service,
):
    await service.enqueue(Inside(number=1))
    [job] = await service.lease()

    async def killed():
        async with service.database.transaction() as unit:
            assert await complete(unit, [job]) == {job.id}
            [own] = await unit.fetch("SELECT pg_backend_pid() AS pid")
            await service.query("SELECT pg_terminate_backend($1, 5000)", own["pid"])

    with pytest.raises(Exception) as caught:  # noqa: PT011 - which class it has is not promised
        await killed()
    assert is_infrastructure_error(caught.value)
    assert await service.job("state, lease") == ("running", job.lease)
    assert await completed(service, job) == {job.id}


async def test_a_renewed_lease_does_not_expire_and_a_lost_one_is_reported(service):
    await service.enqueue(Outside(number=1), Outside(number=2))
    one, other = await service.lease()
    await service.expire_leases()
    async with service.leases(seconds=600) as leases:
        assert await leases.renew([(one.id, one.lease)]) == set()
    assert await expire(service) == {WAITING: 1}
    async with service.leases() as leases:
        held = [(one.id, one.lease), (other.id, other.lease)]
        assert await leases.renew(held) == {held[1]}
        assert await leases.renew([]) == set()


async def test_an_expired_lease_counts_and_the_last_one_is_the_jobs_death(service):
    """A job that always kills its worker ends as dead."""
    await service.enqueue(Inside(number=1))
    for attempt in (1, 2, 3):
        [job] = await service.lease()
        assert job.attempts == attempt
        await service.expire_leases()
        await expire(service)
        await service.query("UPDATE jobs SET run_at = now()")
    assert await service.job("state, attempts, error") == (DEAD, 3, LEASE_EXPIRED)


async def test_a_workers_own_clock_decides_nothing(service, monkeypatch):
    """A worker whose clocks are a day ahead leases no leased job, and none that is not due."""
    await service.enqueue(Outside(number=1), Inside(number=2))
    await service.lease(limit=1)
    await service.enqueue(Inside(number=3), delay=timedelta(hours=1))
    ahead = time.time() + 86400
    monkeypatch.setattr(time, "time", lambda: ahead)
    async with service.working():
        await service.until_effects(1)
        await asyncio.sleep(0)
    assert await service.states() == {1: "running", 2: "done", 3: "waiting"}


async def test_a_worker_that_is_asked_to_stop_hands_back_what_it_has_not_finished(service):
    await service.enqueue(Outside(number=1, seconds=15), Inside(number=2, seconds=9))
    async with service.working() as registry:
        await service.until_effects(1)

        async def both_leased():
            return set((await service.states()).values()) == {"running"}

        await service.until(both_leased)
    rows = await service.query("SELECT state, attempts, lease, run_at <= now() FROM jobs")
    assert rows == [("waiting", 0, None, True)] * 2
    assert await service.effects("inside") == []
    labels = {"kind": Outside.kind, "outcome": "handed-back"}
    assert registry.get_sample_value("job_attempts_total", labels) == 1


async def test_a_worker_that_is_asked_to_stop_lets_short_jobs_finish(service):
    await service.enqueue(Outside(number=1, seconds=0.2))
    async with service.working(finish_seconds=30):
        await service.until_effects(1)
    assert await service.states() == {1: "done"}


async def test_a_job_whose_connection_is_lost_runs_again_and_loses_no_attempt(service):
    await service.enqueue(Inside(number=1, seconds=1))
    async with service.working() as registry:

        async def leased():
            return await service.job("state") == ("running",)

        async def in_hand():
            rows = await service.query(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = 'tests'"
                " AND state = 'idle in transaction' AND query LIKE '%effects%'"
                " AND datname = current_database()"
            )
            return bool(rows)

        await service.until(leased)
        await service.until(in_hand)
        await end_connections(service, "tests")
        await service.until_states("done")
    assert await service.job("attempts") == (1,)
    assert await service.effects() == [1]
    labels = {"kind": Inside.kind, "outcome": "interrupted"}
    assert registry.get_sample_value("job_attempts_total", labels) == 1


async def test_a_worker_whose_leasing_connection_is_lost_goes_on_with_another(service):
    await service.enqueue(Outside(number=1, seconds=2))
    async with service.working():
        await service.until_effects(1)
        await end_connections(service, f"{SERVICE}-jobs")
        await service.enqueue(Inside(number=2))
        await service.until_states("done")
    assert await service.effects() == [1, 2]


async def test_a_worker_that_has_a_new_leasing_connection_renews_its_leases_at_once(service):
    """Connections that are each lost before the first renewal would let the lease expire."""
    await service.enqueue(Outside(number=1, seconds=600))
    async with service.working(lease_seconds=600, outside_limit=600):
        await service.until_effects(1)
        before = await service.job("lease_until")
        await end_connections(service, f"{SERVICE}-jobs")

        async def renewed():
            return await service.job("lease_until") > before

        await service.until(renewed)


async def test_a_worker_that_leases_its_own_lost_job_again_stops_the_first_run_alone(service):
    """As after an outage of PostgreSQL: the lease has expired, but the worker is alive."""
    await service.enqueue(Outside(number=1, seconds=600))
    async with service.working(lease_seconds=6, outside_limit=600) as registry:
        await service.until_effects(1)
        await service.query("UPDATE jobs SET state = 'waiting', lease = NULL, lease_until = NULL")
        await service.until_effects(2)

        async def first_run_stopped():
            labels = {"kind": Outside.kind, "outcome": "lost"}
            return registry.get_sample_value("job_attempts_total", labels) == 1

        await service.until(first_run_stopped)
        assert await service.job("state, attempts") == ("running", 2)
    labels = {"kind": Outside.kind, "outcome": "handed-back"}
    assert registry.get_sample_value("job_attempts_total", labels) == 1


async def test_workers_killed_at_any_moment_lose_no_job_and_double_no_effect_inside(service):
    """SIGKILL may come between lease and start, effect and completion, completion and commit."""
    numbers = range(400)
    for n in numbers:
        await service.enqueue(
            Inside(number=n, seconds=0.01), Outside(number=n, seconds=0.01), Batched(number=n)
        )
    for stop_at in (1, 100, 300):
        async with service.process() as one, service.process() as other:
            await service.until_effects(stop_at)
            one.send_signal(signal.SIGKILL)
            await asyncio.gather(one.wait())
            await service.until_effects(stop_at + 100)
            other.send_signal(signal.SIGKILL)
            await other.wait()
    async with service.process() as last:
        await service.until_states("done")
        last.terminate()
        assert await last.wait() == 0
    assert sorted(await service.effects("inside")) == list(numbers)
    assert sorted(await service.effects("batch%")) == list(numbers)
    assert set(await service.effects("outside%")) == set(numbers)
    attempts = await service.query("SELECT max(attempts) FROM jobs WHERE kind NOT LIKE '%ticked%'")
    assert attempts[0][0] > 1, "no worker died with a job in hand"


@pytest.mark.parametrize("kind", [Inside, Outside])
async def test_a_worker_frozen_past_its_lease_can_not_settle_what_another_has_done(service, kind):
    """SIGSTOP comes between effect and completion; another worker runs the job; then SIGCONT."""
    ours = "number = 1 AND by <> 'ticked'"
    async with service.process() as frozen:
        await service.enqueue(kind(number=1, fail="freeze"))

        async def stopped():
            path = f"/proc/{frozen.pid}/stat"
            text = await asyncio.to_thread(Path(path).read_text)
            return text.rpartition(")")[2].split()[0] == "T"

        await service.until(stopped)
        if kind is Inside:
            # The frozen transaction locks the row; PostgreSQL would end it after a time-out.
            await end_connections(service, "works-worker")
        await service.query("""UPDATE jobs SET arguments = '{"number": 1}'""")
        async with service.process() as other:
            assert other.pid != frozen.pid

            async def with_other():
                rows = await service.query(
                    f"SELECT 1 FROM effects WHERE pid = $1 AND {ours}", other.pid
                )
                return bool(rows)

            await service.until(with_other)
            frozen.send_signal(signal.SIGCONT)
            await service.until_states("done")
            # If the woken worker runs another job, its first attempt has ended.
            other.terminate()
            await other.wait()
        await service.enqueue(Inside(number=2))
        await service.until_states("done")
        rows = await service.query("SELECT pid FROM effects WHERE number = 2 AND by = 'inside'")
        assert rows == [(frozen.pid,)]
    by = await service.query(f"SELECT pid FROM effects WHERE {ours} ORDER BY place")
    wanted = [(other.pid,)] if kind is Inside else [(frozen.pid,), (other.pid,)]
    assert by == wanted
    assert await service.query("SELECT state, attempts FROM jobs WHERE id = 1") == [("done", 2)]


async def test_a_batch_loses_the_jobs_that_are_another_workers_by_now(service):
    await service.enqueue(*(Batched(number=n) for n in range(3)))
    jobs = await service.lease("batches")
    await service.query("UPDATE jobs SET lease_until = now() - interval '1 s' WHERE id = 2")
    await expire(service)
    assert await completed(service, *jobs) == {1, 3}


async def test_effects_of_a_lost_job_are_rolled_back(service):
    """The handler runs only if the completion changed the row; so nothing is written."""
    await service.enqueue(Inside(number=1))
    worker = service.worker()
    [late] = await service.lease()
    await service.expire_leases()
    await expire(service)
    (lane,) = [lane for queue, lane in worker._lanes.items() if queue == "default"]
    await lane._execution.run([late])
    assert await service.effects() == []
    async with service.database.transaction() as unit:
        rows = await unit.fetch("SELECT state FROM jobs")
    assert [row["state"] for row in rows] == [WAITING]
