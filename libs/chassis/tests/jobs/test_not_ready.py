"""What a worker of jobs waits for: its tables, and PostgreSQL; and what it logs."""

import asyncpg

from .working import SERVICE, Inside


def failures(logs):
    """Return the errors of each loop's failed turns, by the loop's name."""
    found: dict[str, list[dict[str, object]]] = {}
    for entry in logs:
        if entry["event"] == "work failed, retrying":
            found.setdefault(entry["work"], []).append(entry)
    return found


async def test_a_worker_that_starts_before_the_migrations_waits_for_them_and_says_so(service, logs):
    loop = f"{SERVICE}-jobs"

    async def told():
        return len(failures(logs).get(loop, ())) > 1

    await service.enqueue(Inside(number=1))
    await service.urls.run_as_owner("ALTER TABLE jobs RENAME TO not_yet")
    try:
        async with service.working():
            await service.until(told)
            await service.urls.run_as_owner("ALTER TABLE not_yet RENAME TO jobs")
            await service.until_states("done")
    finally:
        await service.urls.run_as_owner("ALTER TABLE IF EXISTS not_yet RENAME TO jobs")
    entries = failures(logs)[loop]
    assert all("Apply the service's migrations" in entry["error"] for entry in entries)
    attempts = [entry["attempt"] for entry in entries]
    assert attempts == list(range(1, len(attempts) + 1))
    delays = [entry["delay_s"] for entry in entries]
    assert delays == sorted(delays)
    assert await service.effects() == [1]


async def test_a_worker_whose_connection_ends_counts_its_failures_anew_once_it_works(service, logs):
    """Without that, each outage in a process's life would be waited for longer than the last."""
    # The connection has worked once its measurement of the queues has returned.
    end = """
        SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
        WHERE application_name = $1 AND datname = current_database()
            AND state = 'idle' AND query LIKE '%AS waiting%'
    """

    async def ended():
        admin = await asyncpg.connect(service.urls.superuser_url)
        try:
            return await admin.fetchval(end, f"{SERVICE}-jobs") == 1
        finally:
            await admin.close()

    async with service.working():
        for number in (1, 2):
            await service.enqueue(Inside(number=number))
            await service.until_effects(number)
            await service.until(ended)
        await service.enqueue(Inside(number=3))
        await service.until_effects(3)
    attempts = [entry["attempt"] for entry in failures(logs)[f"{SERVICE}-jobs"]]
    assert attempts == [1, 1]
