"""Leases that have expired although their worker lives, as after an outage or a freeze."""

from chassis.jobs.tables import WAITING

from .conftest import end_connections, running
from .working import SERVICE, Outside


async def test_a_worker_does_not_take_the_expired_lease_of_a_job_that_it_runs(service):
    """After an outage or a freeze it may look for expired leases before it renews its own."""
    await service.enqueue(Outside(number=1, seconds=600))
    worker = service.worker(lease_seconds=600, outside_limit=600)
    async with running(worker.run()):
        await service.until_effects(1)
        await service.expire_leases()
        await worker._take_expired()
        assert await service.job("state, attempts") == ("running", 1)


async def test_a_worker_that_reconnects_gives_the_others_time_to_renew_their_leases(service):
    """After an outage that was longer than a lease, all leases of running jobs have expired."""
    await service.enqueue(Outside(number=1, seconds=600))
    async with service.working(lease_seconds=600, outside_limit=600):
        await service.until_effects(1)
        await service.expire_leases()
        async with service.working(lease_seconds=600) as registry:
            await end_connections(service, f"{SERVICE}-jobs")

            async def renewed():
                return (await service.job("lease_until > now()"))[0]

            await service.until(renewed)
            assert registry.get_sample_value("job_leases_expired_total", {"state": WAITING}) in {
                None,
                0,
            }
        assert await service.job("state, attempts") == ("running", 1)


async def test_a_lease_that_a_wrong_clock_put_years_ahead_expires_and_its_job_runs(service):
    await service.enqueue(Outside(number=1))
    await service.lease()  # by a worker that dies
    await service.query("UPDATE jobs SET lease_until = now() + interval '10 years'")
    async with service.working(lease_seconds=0.1):
        await service.until_effects(1)


async def test_a_lease_of_a_release_with_longer_leases_is_left_alone(service):
    await service.enqueue(Outside(number=1))
    await service.lease()
    await service.query("UPDATE jobs SET lease_until = now() + interval '100 seconds'")
    before = await service.job("lease_until")
    await service.worker(lease_seconds=20)._pull_back()
    assert await service.job("lease_until") == before
