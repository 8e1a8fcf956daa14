"""Access to the database is enough to end log-in sessions; no private key is needed."""

from uuid import UUID

import pytest

from chassis.process import Process
from chassis.wiring import open_service
from users.declaration import SERVICE
from users.sessions.wiring import revoker


@pytest.fixture
async def worker_resources(settings):
    """The worker's resources."""
    process = Process(name="users-worker-test", settings=settings)
    opening = open_service(settings, process, service=SERVICE.name)
    async with process.running(opening) as resources:
        yield resources


async def test_a_worker_ends_the_sessions_of_an_account(
    worker_resources, settings, client, register, log_in, events, db
):
    user, other = await register(), await register("grace@example.com")
    token = (await log_in())["refresh_token"]
    await log_in("grace@example.com")

    async with worker_resources.database.transaction() as unit:
        revoking = revoker(worker_resources, unit, token_lifetime=settings.access_lifetime)
        await revoking.revoke_all(UUID(user["id"]))

    form = {"grant_type": "refresh_token", "refresh_token": token}
    assert (await client.post("/api/v1/auth/token", data=form)).status_code == 400
    (announced,) = [data for kind, _, data in await events() if kind == "session.revoked.v1"]
    assert announced["user_id"] == user["id"]
    left = await db.fetch("SELECT user_id FROM sessions WHERE revoked_at IS NULL")
    assert [row["user_id"] for row in left] == [UUID(other["id"])]
