"""A request is one transaction, committed before its response. With a key, it takes effect once."""

import asyncio
import hashlib
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from chassis.database.ids import new_id
from testkit.tokens import TestTokens

NOTES, ORDERS, PAYMENTS = "/api/v1/notes", "/api/v1/orders", "/api/v1/payments"


def keyed(tokens: TestTokens, key: str = "k-1", **more: Any) -> dict[str, str]:
    return {**tokens.headers(**more), "Idempotency-Key": key}


async def test_what_was_confirmed_with_201_is_committed(stored: httpx.AsyncClient, databases: Any):
    assert (await stored.post(NOTES, json={"text": "a"})).status_code == 201
    assert await databases.rows() == ["a"]


async def test_a_commit_that_fails_is_no_201(stored: httpx.AsyncClient, databases: Any):
    answer = await stored.post(NOTES, json={"text": "late"})
    assert answer.status_code == 500
    assert "late_pkey" not in answer.text
    assert await databases.rows() == []


@pytest.mark.parametrize(("text", "status"), [("a", 500), ("lost", 503)])
async def test_a_failure_behind_a_commit_does_not_say_that_nothing_was_done(
    stored: httpx.AsyncClient, databases: Any, text: str, status: int
):
    """A use case with separate transactions commits before its response is made."""
    answer = await stored.post("/api/v1/sessions", json={"text": text})
    assert await databases.rows() == [text]
    assert answer.status_code == status
    assert "The request may have taken effect" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/api/v1/broken", "/api/v1/third-party/refused"])
async def test_a_failed_read_does_not_say_that_its_effect_is_unknown(
    stored: httpx.AsyncClient, path: str
):
    """GET changes nothing, so nothing can have been done (RFC 9110 §9.2.1)."""
    answer = await stored.get(path)
    assert answer.status_code in {500, 503}
    assert "unknown" not in answer.json()["detail"]


async def test_a_commit_that_fails_stores_no_response(
    stored: httpx.AsyncClient, databases: Any, tokens: TestTokens
):
    headers = keyed(tokens)
    for _ in range(2):
        answer = await stored.post(ORDERS, json={"text": "late"}, headers=headers)
        assert answer.status_code == 500
    assert await databases.rows() == []


async def test_a_repeated_request_gets_the_same_response_byte_for_byte(
    stored: httpx.AsyncClient, databases: Any, tokens: TestTokens
):
    headers = keyed(tokens)
    first, second = [await stored.post(ORDERS, json={"text": "é"}, headers=headers) for _ in "ab"]
    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    for name in ("location", "content-type", "content-length"):
        assert first.headers[name] == second.headers[name]
    assert await databases.rows() == ["é"]


async def test_without_a_key_each_request_counts(
    stored: httpx.AsyncClient, databases: Any, tokens: TestTokens
):
    for _ in range(2):
        await stored.post(ORDERS, json={"text": "a"}, headers=tokens.headers())
    assert await databases.rows() == ["a", "a"]


async def test_a_key_belongs_to_its_caller(
    stored: httpx.AsyncClient, databases: Any, tokens: TestTokens
):
    for _ in range(2):
        headers = keyed(tokens, subject=new_id())
        assert (await stored.post(ORDERS, json={"text": "a"}, headers=headers)).status_code == 201
    assert await databases.rows() == ["a", "a"]


async def test_another_body_with_the_same_key_is_422(
    stored: httpx.AsyncClient, databases: Any, tokens: TestTokens
):
    headers = keyed(tokens)
    await stored.post(ORDERS, json={"text": "a"}, headers=headers)
    answer = await stored.post(ORDERS, json={"text": "b"}, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("/idempotency-key-reused")
    assert answer.json()["errors"][0]["header"] == "Idempotency-Key"
    raw = {**headers, "Content-Type": "application/json"}
    answer = await stored.post(ORDERS, content=b'{ "text": "a" }', headers=raw)
    assert answer.status_code == 422  # the hash covers the bytes
    assert await databases.rows() == ["a"]


async def test_a_rollback_stores_nothing_and_the_key_can_be_used_again(
    stored: httpx.AsyncClient, databases: Any, tokens: TestTokens
):
    headers = keyed(tokens)
    for _ in range(2):
        answer = await stored.post(ORDERS, json={"text": "sold out"}, headers=headers)
        assert answer.status_code == 409
        assert answer.json()["type"].endswith("/out-of-stock")
    assert await databases.rows() == []
    assert (await stored.post(ORDERS, json={"text": "a"}, headers=headers)).status_code == 201


async def test_a_key_in_flight_is_409_and_the_first_response_follows(
    stored: httpx.AsyncClient, app_with_database: FastAPI, databases: Any, tokens: TestTokens
):
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def gate(_: str) -> None:
        inside.set()
        await go_on.wait()

    app_with_database.state.gate = gate
    headers = keyed(tokens)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(stored.post(ORDERS, json={"text": "a"}, headers=headers))
        await inside.wait()
        second = await stored.post(ORDERS, json={"text": "a"}, headers=headers)
        assert second.status_code == 409
        assert second.json()["type"].endswith("/idempotency-in-flight")
        assert second.headers["retry-after"] == "1"
        go_on.set()
    assert first.result().status_code == 201
    third = await stored.post(ORDERS, json={"text": "a"}, headers=headers)
    assert third.content == first.result().content
    assert await databases.rows() == ["a"]


async def test_of_many_requests_at_once_one_takes_effect(
    stored: httpx.AsyncClient, databases: Any, tokens: TestTokens
):
    headers = keyed(tokens)
    answers = await asyncio.gather(
        *(stored.post(ORDERS, json={"text": "a"}, headers=headers) for _ in range(30))
    )
    statuses = {answer.status_code for answer in answers}
    assert statuses <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert await databases.rows() == ["a"]


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "\t", "a\x7f", "\xe9"])
async def test_a_key_out_of_bounds_is_422_and_named(
    stored: httpx.AsyncClient, databases: Any, tokens: TestTokens, key: str
):
    headers = [
        *((name.encode(), value.encode()) for name, value in tokens.headers().items()),
        (b"idempotency-key", key.encode("latin-1")),
    ]
    answer = await stored.post(ORDERS, json={"text": "a"}, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["header"].lower() == "idempotency-key"
    assert await databases.rows() == []


@pytest.mark.parametrize("path", [ORDERS, PAYMENTS])
async def test_a_key_that_occurs_twice_is_400_though_both_are_the_same(
    stored: httpx.AsyncClient, databases: Any, tokens: TestTokens, path: str
):
    headers = [*keyed(tokens).items(), ("Idempotency-Key", "k-1")]
    answer = await stored.post(path, json={"text": "a"}, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["header"] == "Idempotency-Key"
    assert await databases.rows() == []


async def test_a_route_that_requires_a_key_refuses_a_request_without_one(
    stored: httpx.AsyncClient, tokens: TestTokens
):
    answer = await stored.post(PAYMENTS, json={"text": "a"}, headers=tokens.headers())
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("/idempotency-key-missing")
    assert answer.json()["errors"][0]["header"] == "Idempotency-Key"
    assert (await stored.post(PAYMENTS, json={"text": "a"})).status_code == 401
    paid = [await stored.post(PAYMENTS, json={"text": "a"}, headers=keyed(tokens)) for _ in "ab"]
    assert [one.status_code for one in paid] == [200, 200]
    document = (await stored.get("/openapi.json")).json()["paths"]
    required = {
        path: _key_parameter(document[path]["post"])["required"] for path in (PAYMENTS, ORDERS)
    }
    assert required == {PAYMENTS: True, ORDERS: False}
    assert {"400", "409", "422"} <= document[PAYMENTS]["post"]["responses"].keys()


def _key_parameter(operation: dict[str, Any]) -> Any:
    [found] = [one for one in operation["parameters"] if one["name"].lower() == "idempotency-key"]
    return found


async def test_the_hash_of_the_body_is_stored_and_not_the_body(
    stored: httpx.AsyncClient, databases: Any, tokens: TestTokens
):
    body = b'{"text": "a"}'
    headers = {**keyed(tokens), "Content-Type": "application/json"}
    await stored.post(ORDERS, content=body, headers=headers)
    assert await databases.hashes() == [hashlib.sha256(body).digest()]


async def test_a_backend_that_is_ended_is_replaced_without_a_restart(
    stored: httpx.AsyncClient, databases: Any
):
    await stored.post(NOTES, json={"text": "a"})
    await databases.end_backends()
    answers = [(await stored.post(NOTES, json={"text": "b"})).status_code for _ in range(3)]
    assert answers[-1] == 201
    assert set(answers) <= {201, 503}


async def test_a_password_that_the_database_refuses_is_503_with_retry_after(
    locked_out: httpx.AsyncClient,
):
    """The password was changed: the service is unavailable until it has the new one."""
    for _ in range(2):
        answer = await locked_out.post(NOTES, json={"text": "a"})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["type"].endswith("/unavailable")
        assert "password" not in answer.text
