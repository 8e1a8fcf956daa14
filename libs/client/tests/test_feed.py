"""One connection reports when it is open, yields each item, and reports why it ended."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI, Response, WebSocket

from client import FeedError, SlipwayClient

from .conftest import serving
from .feeds import FeedServer


@pytest.fixture
async def strange() -> AsyncIterator[SlipwayClient]:
    """A server whose behaviour is the token."""

    async def play(socket: WebSocket) -> None:
        await socket.accept()
        match (await socket.receive_json())["token"]:
            case "closed":
                await socket.close(1000)
            case "strange":
                await socket.send_text("[]")
                await socket.close()
            case "unready":
                await socket.send_json({"type": "notification"})
                await socket.close()
            case "item":
                await socket.send_json({"type": "ready", "event_id": 0})
                await socket.send_json({"type": "notification", "event_id": "x"})
                await socket.close()
            case _:
                await socket.receive()

    app = FastAPI()
    app.add_api_websocket_route("/api/v1/notifications/ws", play)
    async with serving(app) as url, SlipwayClient(url, timeout=1) as client:
        yield client


async def test_items_come_in_order_without_pings(served: SlipwayClient, feeds: FeedServer) -> None:
    await feeds.publish(7)
    async with served.feed("good") as feed:
        assert feed.event_id == 7
        await feeds.publish(2)
        items = [await anext(feed), await anext(feed)]
    assert [(item.type, item.event_id) for item in items] == [
        ("notification", 8),
        ("notification", 9),
    ]
    assert items[0].data == {"n": 8}
    assert feed.event_id == 9


async def test_it_resumes_after_an_item(served: SlipwayClient, feeds: FeedServer) -> None:
    await feeds.publish(5)
    async with served.feed("good", last_event_id=3) as feed:
        assert feed.event_id == 3
        assert (await anext(feed)).event_id == 4


@pytest.mark.parametrize(
    ("token", "reason", "code"),
    [
        ("closed", "closed before `ready`", 1000),
        ("strange", "which is not a message of the feed", None),
        ("unready", "first, not `ready`", None),
        ("silent", "no `ready` within 1", None),
    ],
)
async def test_a_feed_that_does_not_open_says_why(
    strange: SlipwayClient, token: str, reason: str, code: int | None
) -> None:
    with pytest.raises(FeedError, match=reason) as failed:
        async with strange.feed(token):
            pass
    assert failed.value.code == code


async def test_an_item_of_another_shape_is_named(strange: SlipwayClient) -> None:
    async with strange.feed("item") as feed:
        with pytest.raises(FeedError, match="not valid") as failed:
            await anext(feed)
    assert failed.value.permanent


async def test_a_refused_token_is_told_with_its_close_code(served: SlipwayClient) -> None:
    with pytest.raises(FeedError, match=r"sent an error.*not valid") as refused:
        async with served.feed("bad"):
            pass
    assert (refused.value.code, refused.value.permanent) == (4401, True)


async def test_a_lost_connection_is_no_ordered_end(
    served: SlipwayClient, feeds: FeedServer
) -> None:
    feeds.ends = [1011, 1000]
    async with served.feed("good") as feed:
        with pytest.raises(FeedError, match="was closed") as lost:
            await anext(feed)
    assert (lost.value.code, lost.value.permanent) == (1011, False)
    async with served.feed("good") as feed:
        assert [item async for item in feed] == []


async def test_an_unreachable_gateway_is_named() -> None:
    async with SlipwayClient("http://127.0.0.1:1", timeout=1) as client:
        with pytest.raises(FeedError, match=r"ws://127\.0\.0\.1:1/api/v1/notifications/ws"):
            async with client.feed("good"):
                pass


async def test_a_refused_handshake_has_its_status() -> None:
    async with serving(FastAPI()) as url, SlipwayClient(url, timeout=1) as client:
        with pytest.raises(FeedError) as refused:
            async with asyncio.timeout(5), client.feed("good"):
                pass
    assert (refused.value.code, refused.value.permanent) == (403, True)


async def test_a_refused_handshake_says_when_to_ask_again() -> None:
    app = FastAPI()

    @app.websocket("/api/v1/notifications/ws")
    async def refuse(socket: WebSocket) -> None:
        await socket.send_denial_response(Response(status_code=503, headers={"Retry-After": "7"}))

    async with serving(app) as url, SlipwayClient(url, timeout=1) as client:
        with pytest.raises(FeedError) as refused:
            async with asyncio.timeout(5), client.feed("good"):
                pass
    assert (refused.value.code, refused.value.retry_after) == (503, 7.0)


async def test_it_is_used_as_a_context_manager(served: SlipwayClient) -> None:
    with pytest.raises(FeedError, match="async with"):
        await anext(served.feed("good"))
