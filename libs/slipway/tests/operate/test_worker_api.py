"""A client of the operators' API: lists are read page by page, actions one after the other."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import BaseModel

from slipway.errors import SlipwayError
from slipway.operate.worker_api import Access, WorkerApi

ACCESS = Access(service="orders", url="http://worker", token="t")
REFUSED = 3


class Changed(BaseModel):
    """An item as an action returns it."""

    number: int
    reason: str


class Worker:
    """Serves a list of numbers, 100 a page at most, and rejects the action for one of them."""

    def __init__(self, length: int) -> None:
        self.numbers = list(range(length))
        self.limits: list[int] = []
        self.acted: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return self._act(request)
        query = request.url.params
        limit, start = int(query["limit"]), int(query.get("cursor", 0))
        self.limits.append(limit)
        end = start + limit
        more = str(end) if end < len(self.numbers) else None
        return httpx.Response(200, json={"items": self.numbers[start:end], "next_cursor": more})

    def _act(self, request: httpx.Request) -> httpx.Response:
        self.acted.append(request.url.path)
        if f"/{REFUSED}/" in request.url.path:
            return httpx.Response(409, json={"detail": "The message is being tried."})
        number = int(request.url.path.split("/")[-2])
        return httpx.Response(200, json={"number": number, **json.loads(request.content)})


@pytest.fixture
def worker() -> Worker:
    return Worker(length=250)


@pytest.fixture
async def api(worker: Worker) -> AsyncIterator[WorkerApi]:
    async with WorkerApi.opened(ACCESS, transport=httpx.MockTransport(worker)) as api:
        yield api


@pytest.mark.parametrize(
    ("limit", "asked"),
    [(None, [100, 100, 100]), (7, [7]), (100, [100]), (150, [100, 50]), (1000, [100, 100, 100])],
)
async def test_no_more_is_read_than_the_limit_needs(
    api: WorkerApi, worker: Worker, limit: int | None, asked: list[int]
) -> None:
    found = await api.items("/things", filters={}, limit=limit)
    assert found == worker.numbers[:limit]
    assert worker.limits == asked


async def test_a_rejected_action_does_not_stop_the_next(api: WorkerApi, worker: Worker) -> None:
    outcome = await api.act(
        "/things", "redrive", [2, REFUSED, 4], shape=Changed, reason="fixed", rate=1000
    )
    assert outcome.done == [Changed(number=2, reason="fixed"), Changed(number=4, reason="fixed")]
    assert [skipped.number for skipped in outcome.skipped] == [REFUSED]
    assert "The message is being tried." in outcome.skipped[0].reason
    assert worker.acted[-1] == "/operations/things/4/redrive"


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ("order", "no service 'order'. Use one of: orders, users"),
        ("orders", "No worker of orders runs on this machine"),
    ],
)
async def test_a_name_of_no_service_is_told_from_a_service_that_does_not_run(
    monkeypatch: pytest.MonkeyPatch, service: str, why: str
) -> None:
    monkeypatch.setattr("slipway.services.SERVICES", ("orders", "users"))
    monkeypatch.setattr("slipway.services.NAMES", "orders, users")
    with pytest.raises(SlipwayError, match=why):
        await Access.find(service, state=None, url=None, token="t", login=None, gateway=None)
