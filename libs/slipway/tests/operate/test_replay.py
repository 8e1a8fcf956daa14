"""`slipway replay`, against the API that each worker serves."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from slipway.errors import SlipwayError
from slipway.operate.replay import Replay, as_table, recent, start
from slipway.operate.worker_api import Access, WorkerApi

ACCESS = Access(service="users", url="http://worker", token="token")
ID = UUID(int=1)


def state(**changes: Any) -> dict[str, Any]:
    return {
        "id": str(ID),
        "snapshot": "user.snapshot.v1",
        "requested_by": "somebody",
        "requested_at": "2026-01-15T10:20:30Z",
        "emitted": 0,
        "finished_at": None,
        "error": None,
        **changes,
    }


class Api:
    """The worker's API: each time it is read, the replay is one step further."""

    def __init__(self, *steps: dict[str, Any]) -> None:
        self.steps = list(steps)
        self.asked: list[tuple[str, str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, request.url.path, body))
        if request.method == "POST":
            return httpx.Response(202, json={"items": [state()]})
        if request.url.path.endswith("/replays"):
            return httpx.Response(200, json={"items": [state(emitted=7)]})
        return httpx.Response(200, json=self.steps.pop(0))

    def opened(self) -> Any:
        return WorkerApi.opened(ACCESS, transport=httpx.MockTransport(self))


async def test_it_waits_for_the_end() -> None:
    worker = Api(state(emitted=100), state(emitted=150, finished_at="2026-01-15T10:20:31Z"))
    async with worker.opened() as api:
        (ended,) = await start(api, None, wait=True, poll_seconds=0)
    assert (ended.emitted, ended.state) == (150, "published")
    path = f"/operations/replays/{ID}"
    assert worker.asked == [("POST", "/operations/replays", {}), *[("GET", path, None)] * 2]


async def test_it_need_not_wait() -> None:
    worker = Api()
    async with worker.opened() as api:
        (begun,) = await start(api, "user.snapshot.v1", wait=False)
    assert begun.state == "running"
    assert worker.asked == [("POST", "/operations/replays", {"snapshot": "user.snapshot.v1"})]


async def test_it_shows_the_last_ones() -> None:
    async with Api().opened() as api:
        assert [one.emitted for one in await recent(api)] == [7]


async def test_an_unknown_snapshot_is_reported_by_the_worker() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"detail": "there is no snapshot 'x' here"})

    async with WorkerApi.opened(ACCESS, transport=httpx.MockTransport(refuse)) as api:
        with pytest.raises(SlipwayError, match="there is no snapshot 'x' here"):
            await start(api, "x", wait=True)


def test_a_failure_says_why() -> None:
    failed = Replay.model_validate(
        state(finished_at=datetime.now(UTC), error="KeyError: 'no such column'")
    )
    assert failed.state == "failed: KeyError: 'no such column'"
    assert as_table([failed]).row_count == 1
