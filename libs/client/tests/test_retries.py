"""A call is attempted again exactly if a second attempt can do no harm."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from client import Backoff, DeadlineError, ProblemError, Retries, SlipwayClient

from .conftest import Answer, scripted
from .feeds import USER
from .test_document import ID, ORDER

type Call = Callable[[SlipwayClient], Awaitable[object]]

ORDER_BODY = {
    "id": str(ID),
    "customer_id": str(ID),
    "status": "placed",
    "items": [],
    "total": {"amount": 1, "currency": "EUR"},
    "shipping_address": None,
    "version": 1,
    "created_at": USER["created_at"],
    "updated_at": USER["updated_at"],
}


def problem(status: int, retry_after: str | None = None) -> httpx.Response:
    headers = {"Content-Type": "application/problem+json"}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    return httpx.Response(status, headers=headers, json={"title": f"status {status}"})


LOST = httpx.ReadError("the connection was cut")
SILENT = httpx.ReadTimeout("no response in time")
CLOSED = httpx.ConnectError("nothing listens")


async def place(api: SlipwayClient) -> object:
    return await api.place_order("t", ORDER)


async def read(api: SlipwayClient) -> object:
    return await api.me("t")


async def log_in(api: SlipwayClient) -> object:
    return await api.login(email="a@example.com", password="p")


@pytest.mark.parametrize(
    "failure", [LOST, CLOSED, problem(429), problem(502), problem(503, "0"), problem(504)]
)
async def test_an_order_is_repeated_with_the_same_key_and_the_same_bytes(failure: Answer) -> None:
    success = httpx.Response(201, json=ORDER_BODY)
    async with scripted(failure, failure, success) as (api, server):
        await place(api)
    keys = {request.headers["Idempotency-Key"] for request in server.requests}
    assert (len(server.requests), len(keys), len(set(server.bodies))) == (3, 1, 1)


async def test_a_first_request_that_still_runs_is_waited_for() -> None:
    """A 409 with Retry-After: the lost request holds the key, and has no response yet."""
    success = httpx.Response(201, json=ORDER_BODY)
    async with scripted(LOST, problem(409, "0"), success) as (api, server):
        await place(api)
    assert len(server.requests) == 3
    async with scripted(problem(409)) as (api, server):
        with pytest.raises(ProblemError, match="409"):  # such as `out-of-stock`
            await place(api)
    assert len(server.requests) == 1


@pytest.mark.parametrize("call", [read, log_in])
@pytest.mark.parametrize("failure", [CLOSED, problem(429, "0")])
async def test_what_was_not_done_is_repeated_whatever_it_is(call: Call, failure: Answer) -> None:
    async with scripted(failure, problem(418)) as (api, server):
        with pytest.raises(ProblemError, match="418"):
            await call(api)
    assert len(server.requests) == 2


@pytest.mark.parametrize("failure", [LOST, SILENT, problem(502), problem(503, "0"), problem(504)])
async def test_what_may_have_been_done_is_not_done_twice(failure: Answer) -> None:
    async with scripted(failure) as (api, server):
        with pytest.raises((ProblemError, httpx.TransportError)):
            await api.register(email="a@example.com", password="p", full_name="A")
        with pytest.raises((ProblemError, httpx.TransportError)):
            await api.change_password("t", current="p", new="q")
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422, 500])
async def test_other_refusals_are_final(status: int) -> None:
    async with scripted(problem(status)) as (api, server):
        with pytest.raises(ProblemError):
            await read(api)
    assert len(server.requests) == 1


@pytest.mark.parametrize("failure", [LOST, problem(503, "0")])
async def test_attempts_are_bounded(failure: Answer) -> None:
    async with scripted(failure, attempts=3) as (api, server):
        with pytest.raises((ProblemError, httpx.ReadError)):
            await read(api)
    assert len(server.requests) == 3


async def test_retry_after_is_waited_for() -> None:
    async with scripted(problem(503, "1"), httpx.Response(200, json=USER)) as (api, _):
        began = time.monotonic()
        await read(api)
        assert time.monotonic() - began >= 1


async def test_a_longer_wait_than_the_deadline_is_left_to_the_caller() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for value in ("3600", later):
        async with scripted(problem(429, value)) as (api, server):
            with pytest.raises(ProblemError) as refused:
                await log_in(api)
        assert refused.value.headers["Retry-After"] == value
        assert len(server.requests) == 1


@pytest.mark.parametrize("value", ["soon", "Fri, 31 Dec 99999999999 23:59:59 GMT"])
async def test_a_retry_after_that_cannot_be_read_counts_as_none(value: str) -> None:
    async with scripted(problem(503, value), httpx.Response(200, json=USER)) as (api, server):
        await read(api)
    assert len(server.requests) == 2


async def test_a_date_without_a_zone_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The form of `asctime` has none (RFC 9110 §5.6.7)."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")  # 14 hours ahead
    time.tzset()
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%a %b %d %H:%M:%S %Y")
    try:
        async with scripted(problem(429, later)) as (api, server):
            with pytest.raises(ProblemError):
                await log_in(api)
        assert len(server.requests) == 1
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_a_call_without_a_result_ends_at_its_deadline() -> None:
    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError(request)

    async with SlipwayClient("http://gateway", transport=Silent(), deadline=0.05) as api:
        with pytest.raises(DeadlineError, match=r"GET .*/users/me had no result within 0\.05 s"):
            await read(api)


async def test_a_caller_s_own_time_out_stays_its_own() -> None:
    async with scripted(problem(503, "20")) as (api, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await read(api)


def test_delays_are_random_below_a_limit_that_doubles_up_to_the_most() -> None:
    backoff = Backoff(first=1.0, most=5.0)
    random.seed(1)
    for attempt, limit in ((1, 1), (2, 2), (3, 4), (4, 5), (2000, 5)):
        delays = [backoff.delay(attempt) for _ in range(500)]
        assert 0 <= min(delays) < limit / 10
        assert limit * 0.9 < max(delays) <= limit


async def test_retries_can_be_turned_off() -> None:
    calls: list[Any] = []

    def fail(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        raise CLOSED

    transport = httpx.MockTransport(fail)
    retries = Retries(attempts=1)
    async with SlipwayClient("http://gateway", transport=transport, retries=retries) as api:
        with pytest.raises(httpx.ConnectError):
            await api.get_product(UUID(int=1))
    assert len(calls) == 1
