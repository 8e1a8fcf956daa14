"""Jobs of a key that are brought forward, and that give their key up before their last look."""

import asyncio
from datetime import timedelta

from .working import Inside, Outside

BLOCKED = (
    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


async def enqueue_soonest(service, arguments, **options):
    async with service.database.transaction() as unit:
        await service.jobs(unit).enqueue_soonest(arguments, unique_key="a", **options)


async def test_an_unfinished_job_of_the_key_becomes_due_no_later(service):
    await enqueue_soonest(service, Inside(number=1), delay=timedelta(hours=1))
    assert await service.lease() == []
    await enqueue_soonest(service, Inside(number=2), delay=timedelta(hours=2))
    assert await service.lease() == []
    await enqueue_soonest(service, Outside(number=3), delay=timedelta(hours=1))
    await enqueue_soonest(service, Inside(number=4))
    assert [job.id for job in await service.lease()] == [1]
    await enqueue_soonest(service, Inside(number=5))
    assert (await service.states())[1] == "running"
    assert len(await service.states()) == 2


async def test_a_key_that_a_running_job_gave_up_is_free(service):
    await enqueue_soonest(service, Inside(number=1))
    [running] = await service.lease()
    async with service.database.transaction() as unit:
        await service.jobs(unit).give_up_key(running.id)
    await enqueue_soonest(service, Inside(number=2))
    assert [job.id for job in await service.lease()] != [running.id]


async def test_between_finding_a_running_job_and_the_commit_the_job_may_give_up_its_key(service):
    """It waits, so that its last look sees what the other transaction wrote."""
    await enqueue_soonest(service, Inside(number=1))
    [running] = await service.lease()

    async def last_look():
        async with service.database.transaction() as unit:
            await service.jobs(unit).give_up_key(running.id)
            rows = await unit.fetch("SELECT number FROM effects")
            return [row["number"] for row in rows]

    async with service.database.transaction() as unit:
        await service.jobs(unit).enqueue_soonest(Inside(number=2), unique_key="a")
        looking = asyncio.create_task(last_look())

        async def blocked():
            return bool(await service.query(BLOCKED))

        await service.until(blocked)
        await unit.execute("INSERT INTO effects (number, by, pid) VALUES (7, 'test', 0)")
    assert await looking == [7]
    await enqueue_soonest(service, Inside(number=3))
    assert list((await service.states()).values()) == ["running", "waiting"]
