"""Server-sent events: what is read from the bytes, how a stream ends, and how it is followed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from client import Backoff, FeedError, FeedItem, SlipwayClient, Stream, Tokens

from .conftest import AT_ONCE, serving

TITLE = "a line\u2028separator and a next\x85line"
PROBLEM = {"type": "https://x/problems/forbidden", "title": "Forbidden", "detail": "No scope."}


class Bytes(httpx.AsyncBaseTransport):
    """Sends a body in parts of some bytes."""

    def __init__(self, body: str, size: int) -> None:
        self.body = body.encode()
        self.size = size

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async def parts() -> AsyncIterator[bytes]:
            for first in range(0, len(self.body), self.size):
                yield self.body[first : first + self.size]

        return httpx.Response(200, content=parts(), request=request)


def ready(number: int) -> str:
    return f"id: {number}\nevent: ready\ndata: {{}}\n\n"


def item(number: int, **data: object) -> str:
    text = json.dumps({"n": number, **data}, ensure_ascii=False)
    return f"id: {number}\nevent: notification\ndata: {text}\n\n"


async def read(body: str, size: int = 7) -> tuple[list[FeedItem], FeedError]:
    """Return all items of a body, and the error at its end."""
    items: list[FeedItem] = []
    async with (
        SlipwayClient("http://gateway", transport=Bytes(body, size)) as client,
        client.stream("good") as stream,
    ):
        with pytest.raises(FeedError) as ended:
            await _take_all(stream, items)
        return items, ended.value


async def _take_all(stream: Stream, items: list[FeedItem]) -> None:
    while True:
        items.append(await anext(stream))


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_events_are_read_wherever_the_bytes_are_cut(size: int, end: str) -> None:
    body = (
        f"retry: 300\n\n{ready(4)}: ping\n\n{item(5, title=TITLE)}"
        f"event: reset\ndata: {{}}\n\n{item(9)}retry: 1500\n\n"
    ).replace("\n", end)
    items, ended = await read(body, size)
    assert [(one.type, one.event_id) for one in items] == [
        ("notification", 5),
        ("reset", None),
        ("notification", 9),
    ]
    assert items[0].data["title"] == TITLE
    assert (ended.code, ended.permanent, ended.reconnect_seconds) == (None, False, 1.5)


async def test_an_event_that_was_cut_off_is_no_item() -> None:
    items, ended = await read(ready(0) + item(1) + item(2)[:-1])
    assert [one.event_id for one in items] == [1]
    assert not ended.permanent


async def test_a_token_that_expires_ends_it_as_it_ends_a_socket() -> None:
    _, ended = await read(ready(0) + 'event: error\ndata: {"problem":"unauthenticated"}\n\n')
    assert ended.code == 4401
    _, ended = await read(ready(0) + 'event: error\ndata: {"problem":"unavailable"}\n\n')
    assert (ended.code, ended.permanent) == (None, False)


@pytest.mark.parametrize("data", ["[]", "{", "{}\ndata: {}"])
async def test_data_that_is_no_object_is_a_fault_of_the_server(data: str) -> None:
    _, ended = await read(ready(0) + f"id: 1\nevent: notification\ndata: {data}\n\n")
    assert ended.permanent


async def test_a_line_without_end_is_not_held_without_bound() -> None:
    _, ended = await read(ready(0) + "data: " + "x" * (1 << 21), size=1 << 16)
    assert "1048576 bytes" in str(ended)


@pytest.mark.parametrize("body", [item(1), ""])
async def test_a_stream_that_does_not_begin_says_so(body: str) -> None:
    async with SlipwayClient("http://gateway", transport=Bytes(body, 9)) as client:
        with pytest.raises(FeedError, match=r"not `ready`|has ended"):
            await client.stream("good").__aenter__()


class StreamServer:
    """One user's feed with ten items; each stream is cut after some of them."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.app.add_api_route("/api/v1/notifications/stream", self._stream)
        self.app.add_api_route("/api/v1/auth/token", self._refresh, methods=["POST"])
        self.valid = {"good"}
        self.tokens: list[str] = []
        self.seen: list[str | None] = []
        self.cuts: Iterator[int] = iter(())
        self.refusals: list[tuple[int, str]] = []

    async def _refresh(self) -> object:
        self.valid = {"fresh"}
        tokens = {"access_token": "fresh", "refresh_token": "s"}
        return tokens | {"token_type": "Bearer", "expires_in": 600, "scope": ""}

    async def _stream(self, request: Request, last_event_id: int = 0) -> StreamingResponse:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        self.tokens.append(token)
        self.seen.append(request.query_params.get("last_event_id"))
        if self.refusals:
            status, wait = self.refusals.pop(0)
            refused = {"Retry-After": wait, "Content-Type": "application/problem+json"}
            return StreamingResponse(_problem(), status_code=status, headers=refused)
        status = 200 if token in self.valid else 401 if token == "good" else 403
        head = "application/problem+json" if status != 200 else "text/event-stream"
        body = self._body(last_event_id) if status == 200 else _problem()
        return StreamingResponse(body, status_code=status, media_type=head)

    async def _body(self, seen: int) -> AsyncIterator[str]:
        yield "retry: 0\n\n" + ready(seen)
        last = seen + next(self.cuts, 10)
        for number in range(seen + 1, min(last, 10) + 1):
            yield item(number)


async def _problem() -> AsyncIterator[str]:
    yield json.dumps(PROBLEM)


async def test_a_followed_stream_resumes_after_its_last_item() -> None:
    server = StreamServer()
    server.cuts = iter([3, 0, 4])
    async with serving(server.app) as url, SlipwayClient(url, timeout=2) as client:
        following = client.follow("good", last_event_id=0, backoff=AT_ONCE, over="stream")
        async with following as feed, asyncio.timeout(20):
            ids = [(await anext(feed)).event_id for _ in range(10)]
    assert ids == list(range(1, 11))
    assert server.seen == ["0", "3", "3", "7"]


async def test_a_followed_stream_renews_a_rejected_token() -> None:
    server = StreamServer()
    server.valid = set()
    tokens = Tokens(access_token="good", refresh_token="r", expires_in=600, scope="")
    async with serving(server.app) as url, SlipwayClient(url, timeout=2) as client:
        following = client.follow(
            client.renewing(tokens), last_event_id=0, backoff=AT_ONCE, over="stream"
        )
        async with following as feed, asyncio.timeout(20):
            assert (await anext(feed)).event_id == 1
    assert server.tokens == ["good", "fresh"]


async def test_a_refusal_ends_a_followed_stream() -> None:
    async with serving(StreamServer().app) as url, SlipwayClient(url, timeout=2) as client:
        with pytest.raises(FeedError, match="No scope") as refused:
            await client.follow("without scope", backoff=AT_ONCE, over="stream").__aenter__()
    assert (refused.value.code, refused.value.permanent) == (4403, True)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_refused_stream_says_when_to_ask_again(status: int) -> None:
    """The jitter is added: all clients of one server are told the same."""
    asked: list[int] = []

    class Counting(Backoff):
        def delay(self, attempt: int) -> float:
            asked.append(attempt)
            return 0.2

    server = StreamServer()
    server.refusals = [(status, "1")]
    began = time.monotonic()
    async with serving(server.app) as url, SlipwayClient(url, timeout=2) as client:
        following = client.follow("good", last_event_id=0, backoff=Counting(), over="stream")
        async with following as feed, asyncio.timeout(20):
            assert (await anext(feed)).event_id == 1
    assert time.monotonic() - began >= 1.2
    assert asked == [1]


async def test_two_tasks_take_the_items_of_one_stream() -> None:
    async with (
        SlipwayClient("http://gateway", transport=Bytes(ready(0) + item(1) + item(2), 7)) as client,
        client.stream("good") as stream,
    ):
        taken = await asyncio.gather(anext(stream), anext(stream))
    assert [one.event_id for one in taken] == [1, 2]


async def test_an_unreachable_gateway_is_named() -> None:
    async with SlipwayClient("http://127.0.0.1:1", timeout=1) as client:
        with pytest.raises(FeedError, match=r"http://127\.0\.0\.1:1/api/v1/notifications/stream"):
            await client.stream("good").__aenter__()


async def test_it_is_used_as_a_context_manager() -> None:
    async with SlipwayClient("http://127.0.0.1:1") as client:
        with pytest.raises(FeedError, match="async with"):
            await anext(client.stream("good"))
