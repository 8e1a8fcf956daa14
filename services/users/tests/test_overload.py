"""If there are more passwords than can be hashed, the excess gets 503, and nothing else suffers."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from chassis.api import create_api
from chassis.auth.passwords import Passwords
from testkit.clients import client_of, serving
from testkit.waiting import until
from users.declaration import SERVICE

LOGIN, REGISTRATION = "/api/v1/auth/login", "/api/v1/users"
PASSWORD = "correct horse battery"
LOG_IN = {"email": "ada@example.com", "password": PASSWORD}


@pytest.fixture
async def app(settings):
    return create_api(SERVICE, settings)


@asynccontextmanager
async def held(app, **bounds):
    """Give the app a queue with these bounds and one turn, which is taken."""
    resources = app.state.resources
    with Passwords(threads=1, **bounds) as passwords:
        app.state.resources = replace(resources, passwords=passwords)
        await passwords.queue.take_turn()
        yield passwords.queue
    app.state.resources = resources


async def test_those_beyond_the_queue_are_503_and_all_other_requests_go_on(app, bearer, db):
    registration = {"email": "bob@example.com", "password": PASSWORD, "full_name": "Bob"}
    async with client_of(app) as client, held(app, waiting=2, seconds=60) as queue:
        async with asyncio.TaskGroup() as group:
            queued = [
                group.create_task(client.post(LOGIN, json=LOG_IN)),
                group.create_task(client.post(REGISTRATION, json=registration)),
            ]
            await until(lambda: queue.waiting == 2)

            for path, body in ((LOGIN, LOG_IN), (REGISTRATION, registration)) * 5:
                refused = await client.post(path, json=body)
                assert refused.status_code == 503
                assert refused.json()["type"].endswith("/passwords-busy")
                assert int(refused.headers["retry-after"]) >= 1

            assert (await client.get("/api/v1/users/me", headers=bearer)).status_code == 200
            form = {"grant_type": "refresh_token", "refresh_token": "x"}
            assert (await client.post("/api/v1/auth/token", data=form)).status_code == 400
            queue.end_turn()
        statuses = [one.result().status_code for one in queued]
    assert statuses == [200, 201]
    assert await db.fetchval("SELECT count(*) FROM users") == 2


async def test_a_deadline_that_passes_in_the_queue_is_reported_and_registers_nobody(app, db):
    body = {"email": "bob@example.com", "password": PASSWORD, "full_name": "Bob"}
    async with client_of(app) as client:
        async with held(app, waiting=1, seconds=60) as queue:
            soon = {"X-Request-Timeout-Ms": "1000"}
            queued = asyncio.create_task(client.post(REGISTRATION, json=body, headers=soon))
            await until(lambda: queue.waiting == 1)
            answer = await queued
        assert answer.status_code == 503
        assert answer.json()["type"].endswith("/deadline-exceeded")
        assert "the rest was rolled back" in answer.json()["detail"], "the throttle has counted it"
        assert await db.fetchval("SELECT count(*) FROM users") == 0
        assert (await client.post(REGISTRATION, json=body)).status_code == 201


async def test_a_request_whose_turn_does_not_come_in_time_is_503(settings, db):
    impatient = settings.model_copy(update={"password_queue_seconds": 0.02})
    app = create_api(SERVICE, impatient)
    body = {"email": "bob@example.com", "password": PASSWORD, "full_name": "Bob"}
    async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        queue = app.state.resources.passwords.queue
        for _ in range(queue.turns):
            await queue.take_turn()
        for path in (REGISTRATION, LOGIN):
            answer = await client.post(path, json=body if path == REGISTRATION else LOG_IN)
            assert answer.status_code == 503
            assert answer.json()["type"].endswith("/passwords-busy")
            assert "0.02 s" in answer.json()["detail"]
            assert int(answer.headers["retry-after"]) >= 1
        assert queue.waiting == 0
        registry = app.state.process.registry
        late = registry.get_sample_value("password_queue_refused_total", {"reason": "late"})
        assert late == 2
        for _ in range(queue.turns):
            queue.end_turn()
        patient = {**body, "email": "eve@example.com"}
        assert (await client.post(REGISTRATION, json=patient)).status_code == 201
    assert await db.fetchval("SELECT count(*) FROM users") == 1


async def test_a_client_that_disconnects_frees_its_place(app, db):
    body = {"email": "bob@example.com", "password": PASSWORD, "full_name": "Bob"}
    async with serving(app) as url, held(app, waiting=1, seconds=60) as queue:
        async with httpx.AsyncClient(base_url=url, timeout=60) as going:
            leaving = asyncio.create_task(going.post(REGISTRATION, json=body))
            await until(lambda: queue.waiting == 1)
            leaving.cancel()
            await asyncio.wait([leaving])
        await until(lambda: queue.waiting == 0)

        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            next_one = asyncio.create_task(client.post(REGISTRATION, json=body))
            await until(lambda: queue.waiting == 1)
            queue.end_turn()
            assert (await next_one).status_code == 201
    assert await db.fetchval("SELECT count(*) FROM users") == 1
