"""A request ends at the gateway's deadline or with its client, and reports its outcome."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text as sql

from chassis.deadline import Deadline, current_deadline
from testkit.clients import serving
from testkit.tokens import TestTokens

NOTES, ORDERS = "/api/v1/notes", "/api/v1/orders"
SOON = {"X-Request-Timeout-Ms": "400"}
LATER = {"X-Request-Timeout-Ms": "30000"}


def nothing_was_changed(answer: httpx.Response) -> bool:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) >= 1
    problem = answer.json()
    assert problem["type"].endswith("/deadline-exceeded")
    return "nothing was changed" in problem["detail"]


def passed() -> None:
    """Let the deadline of the current request pass."""
    deadline = current_deadline()
    assert deadline is not None
    deadline.end_now()


def keyed(tokens: TestTokens, **more: str) -> dict[str, str]:
    return {**tokens.headers(), "Idempotency-Key": "k-1", **more}


@asynccontextmanager
async def disconnecting(url: str, text: str, headers: dict[str, str]) -> AsyncIterator[None]:
    """Place an order, and disconnect before the response."""
    address = urlsplit(url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    body = f'{{"text": "{text}"}}'
    fields = {"Host": "x", "Content-Type": "application/json", "Content-Length": len(body)}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**fields, **headers}.items())
    writer.write(f"POST {ORDERS} HTTP/1.1\r\n{head}\r\n{body}".encode())
    yield
    writer.close()
    await writer.wait_closed()


async def test_a_deadline_that_passed_before_the_first_statement_reaches_no_database(
    stored: httpx.AsyncClient, databases: Any
):
    answer = await stored.post(NOTES, json={"text": "a"}, headers={"X-Request-Timeout-Ms": "0"})

    assert nothing_was_changed(answer)
    assert await databases.rows() == []


async def test_a_deadline_that_passes_in_the_queue_for_a_connection_gives_the_place_up(
    stored: httpx.AsyncClient, databases: Any
):
    async with databases.locked(), asyncio.TaskGroup() as group:
        for _ in range(15):  # the pool and its overflow
            group.create_task(stored.post(NOTES, json={"text": "stuck"}, headers=LATER))
        await databases.waiting("INSERT", statements=15)
        answer = await stored.post(NOTES, json={"text": "a"}, headers=SOON)
        assert nothing_was_changed(answer)
        await databases.end_backends()
    assert (await stored.post(NOTES, json={"text": "b"}, headers=LATER)).status_code == 201
    assert await databases.rows() == ["b"]


@pytest.mark.parametrize("path", [NOTES, ORDERS])
async def test_a_deadline_that_passes_during_a_statement_ends_it_on_the_server(
    stored: httpx.AsyncClient, databases: Any, tokens: TestTokens, path: str
):
    async with databases.locked():
        answer = await stored.post(path, json={"text": "stuck"}, headers=keyed(tokens, **SOON))
        await databases.nothing_runs()

    assert nothing_was_changed(answer)
    assert (await stored.post(path, json={"text": "a"}, headers=keyed(tokens))).status_code == 201
    assert await databases.rows() == ["a"]


async def test_a_deadline_that_passes_between_the_last_statement_and_commit_commits_nothing(
    stored: httpx.AsyncClient, app_with_database: FastAPI, databases: Any, tokens: TestTokens
):
    async def gate(_: str) -> None:
        await asyncio.Event().wait()

    app_with_database.state.gate = gate
    answer = await stored.post(ORDERS, json={"text": "a"}, headers=keyed(tokens, **SOON))
    assert nothing_was_changed(answer)
    await databases.nothing_runs()
    assert await databases.rows() == []

    del app_with_database.state.gate
    again = await stored.post(ORDERS, json={"text": "a"}, headers=keyed(tokens, **LATER))
    assert again.status_code == 201
    assert await databases.rows() == ["a"]


@pytest.fixture
def deadlines(app_with_database: FastAPI) -> list[Deadline]:
    """Collect the deadlines of the orders that are placed; a test can end them."""
    found: list[Deadline] = []

    async def gate(_: str) -> None:
        current = current_deadline()
        assert current is not None
        found.append(current)

    app_with_database.state.gate = gate
    return found


async def test_if_a_deadline_passes_after_commit_was_sent_the_commit_decides_the_response(
    stored: httpx.AsyncClient, databases: Any, tokens: TestTokens, deadlines: list[Deadline]
):
    headers = keyed(tokens, **LATER)
    async with databases.locked():
        posting = asyncio.create_task(stored.post(ORDERS, json={"text": "held"}, headers=headers))
        await databases.waiting("COMMIT")
        deadlines[0].end_now()
        again = await stored.post(ORDERS, json={"text": "held"}, headers=headers)
        assert again.status_code == 409
        assert again.json()["type"].endswith("/idempotency-in-flight")
        assert not posting.done()
    late = await posting
    assert late.status_code == 201

    replayed = await stored.post(ORDERS, json={"text": "held"}, headers=headers)
    assert (replayed.status_code, replayed.content) == (201, late.content)
    assert await databases.rows() == ["held"]


async def test_a_commit_that_fails_after_the_deadline_is_a_failure(
    stored: httpx.AsyncClient, databases: Any, tokens: TestTokens, deadlines: list[Deadline]
):
    async with databases.locked():
        headers = keyed(tokens, **LATER)
        posting = asyncio.create_task(stored.post(ORDERS, json={"text": "held"}, headers=headers))
        await databases.waiting("COMMIT")
        deadlines[0].end_now()
        await databases.end_backends()
    answer = await posting

    assert answer.status_code == 503
    assert answer.json()["type"].endswith("/unavailable")
    assert await databases.rows() == []


async def test_a_client_that_disconnects_before_commit_was_sent_changes_nothing(
    app_with_database: FastAPI, databases: Any, tokens: TestTokens
):
    async with serving(app_with_database) as url, databases.locked():
        async with disconnecting(url, "stuck", tokens.headers()):
            await databases.waiting("INSERT")
        await databases.nothing_runs()
    assert await databases.rows() == []


async def test_a_client_that_disconnects_after_commit_was_sent_does_not_end_it(
    app_with_database: FastAPI, databases: Any, tokens: TestTokens, deadlines: list[Deadline]
):
    async with serving(app_with_database) as url:
        async with databases.locked():
            async with disconnecting(url, "held", tokens.headers()):
                await databases.waiting("COMMIT")
            await once(lambda: deadlines[0].exceeded)
            assert await databases.running() == ["COMMIT"]
        await databases.nothing_runs()
    assert await databases.rows() == ["held"]


async def once(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.01)


async def test_without_a_deadline_a_request_takes_its_time(
    stored: httpx.AsyncClient, databases: Any
):
    async with databases.locked():
        posting = asyncio.create_task(stored.post(NOTES, json={"text": "stuck"}))
        await databases.waiting("INSERT")
    assert (await posting).status_code == 201


@pytest.mark.parametrize("value", ["", "-1", "1.5", "soon", "9" * 10, "1, 2"])
async def test_a_deadline_that_is_no_number_is_ignored(
    stored: httpx.AsyncClient, databases: Any, value: str
):
    headers = {"X-Request-Timeout-Ms": value}
    assert (await stored.post(NOTES, json={"text": "a"}, headers=headers)).status_code == 201
    assert await databases.rows() == ["a"]


async def test_a_stream_that_has_begun_outlasts_the_deadline(
    client: httpx.AsyncClient, app: FastAPI
):
    async def gate(_: str) -> None:
        passed()
        await asyncio.sleep(0.1)

    app.state.gate = gate
    answer = await client.get("/api/v1/stream", headers=LATER)
    assert (answer.status_code, answer.text) == (200, "first last")


async def test_work_that_a_request_started_is_not_bound_by_its_deadline(
    stored: httpx.AsyncClient, app_with_database: FastAPI, databases: Any, tokens: TestTokens
):
    """A task inherits the context of the request, including the deadline."""
    begun: list[asyncio.Task[Any]] = []
    ended = asyncio.Event()

    async def later() -> None:
        await ended.wait()
        async with app_with_database.state.database.transaction() as unit:
            await unit.session.execute(sql("INSERT INTO notes VALUES ('later')"))

    async def gate(_: str) -> None:
        begun.append(asyncio.create_task(later()))
        passed()
        await asyncio.Event().wait()

    app_with_database.state.gate = gate
    answer = await stored.post(ORDERS, json={"text": "a"}, headers=keyed(tokens, **LATER))
    assert nothing_was_changed(answer)
    ended.set()
    await begun[0]
    assert await databases.rows() == ["later"]
