"""Log-ins and registrations are slow and open to anybody; they leave room for other requests."""

import asyncio
from contextlib import asynccontextmanager

import pytest

LOGIN, REGISTRATION = "/api/v1/auth/login", "/api/v1/users"


@pytest.fixture
async def gateway(start):
    """A gateway with four connections to each service; log-ins and registrations may hold two."""
    return await start(upstream_connections=4, upstream_password_share=0.5)


@asynccontextmanager
async def hanging(gateway, service, paths):
    """Hold requests at the service, which does not respond to them."""
    before = len(service.requests)
    tasks = [asyncio.create_task(gateway.http.post(f"{path}?hang", json={})) for path in paths]
    async with asyncio.timeout(5):
        while True:
            if len(service.requests) == before + len(paths):
                break
            await asyncio.sleep(0.005)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def refusals(gateway):
    return gateway.process.registry.get_sample_value(
        "gateway_bulkhead_refusals_total", {"bulkhead": "passwords"}
    )


@pytest.mark.parametrize("path", [LOGIN, REGISTRATION])
async def test_beyond_their_share_they_are_503_at_once(
    gateway, service, bearer, assert_problem, path
):
    async with hanging(gateway, service, [LOGIN, REGISTRATION]):
        answer = await gateway.http.post(path, json={})
        assert_problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert refusals(gateway) == 1
        assert len(service.requests) == 2

        for reached in (
            await gateway.http.post("/api/v1/auth/token", json={}),
            await gateway.http.get("/api/v1/users/me", headers=bearer),
            await gateway.http.get("/api/v1/users", headers=bearer),
            await gateway.http.get("/.well-known/jwks.json"),
        ):
            assert reached.status_code == 200


async def test_a_place_is_free_again_after_the_response_or_a_disconnect(gateway, service):
    for _ in range(3):
        assert (await gateway.http.post(LOGIN, json={})).status_code == 200
    async with hanging(gateway, service, [LOGIN, LOGIN]):
        pass
    async with asyncio.timeout(5):
        while True:
            answer = await gateway.http.post(LOGIN, json={})
            if answer.status_code == 200:
                break
            assert answer.status_code == 503
            await asyncio.sleep(0.005)


async def test_a_client_that_sends_a_body_slowly_holds_no_place(gateway, service):
    head = b"Host: x\r\nContent-Length: 100\r\n\r\n{"
    writers = []
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"POST " + LOGIN.encode() + b" HTTP/1.1\r\n" + head)
        writers.append(writer)
    assert (await gateway.http.post(LOGIN, json={})).status_code == 200
    assert len(service.requests) == 1
    for writer in writers:
        writer.close()


@pytest.mark.parametrize("chunked", [False, True])
async def test_what_is_held_of_a_body_is_bounded(gateway, service, assert_problem, chunked):
    body = b"x" * (16 * 1024)

    async def parts():
        yield body
        yield b"x"

    content = parts() if chunked else body + b"x"
    answer = await gateway.http.post(LOGIN, content=content)
    assert_problem(answer, 413, "content-too-large")
    assert not service.requests
    assert (await gateway.http.post(LOGIN, content=body)).status_code == 200
    assert service.last.body == body
