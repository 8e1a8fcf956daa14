"""Commands on a socket: each gets its own result, and no item is lost while one waits for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from client import CommandError, Feed, FeedError, SlipwayClient

from .conftest import serving
from .documented import SAMPLES

ID = UUID(SAMPLES["uuid"])
NOTIFICATION = {
    "id": SAMPLES["uuid"],
    "event_id": 7,
    "type": "order.shipped",
    "title": "Order shipped",
    "body": "It is on its way.",
    "data": {},
    "created_at": SAMPLES["date-time"],
    "read_at": SAMPLES["date-time"],
}

type Answer = Callable[[WebSocket, dict[str, Any]], Awaitable[None]]


class Commanded:
    """A server of the feed whose answers to commands a test replaces."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.app.add_api_websocket_route("/api/v1/notifications/ws", self._serve)
        self.commands: list[dict[str, Any]] = []
        self.answer: Answer = self.succeed

    async def succeed(self, socket: WebSocket, command: dict[str, Any]) -> None:
        data: dict[str, dict[str, Any]] = {
            "mark_read": NOTIFICATION,
            "renew": {"expires_at": SAMPLES["date-time"]},
        }
        found = data.get(command["type"], {})
        await socket.send_json({"type": "result", "id": command["id"], "data": found})

    async def _serve(self, socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive_json()
        await socket.send_json({"type": "ready", "event_id": 0})
        try:
            while True:
                command = await socket.receive_json()
                self.commands.append(command)
                await self.answer(socket, command)
        except WebSocketDisconnect:
            pass


async def item(socket: WebSocket, event_id: int) -> None:
    await socket.send_json({"type": "notification", "event_id": event_id, "data": {}})


@pytest.fixture
def commanded() -> Commanded:
    return Commanded()


@pytest.fixture
async def feed(commanded: Commanded) -> AsyncIterator[Feed]:
    async with (
        serving(commanded.app) as url,
        SlipwayClient(url, timeout=2) as client,
        client.feed("good") as feed,
        asyncio.timeout(20),
    ):
        yield feed


async def test_each_command_is_sent_in_its_shape_and_returns_its_result(
    feed: Feed, commanded: Commanded
) -> None:
    read = await feed.mark_read(ID)
    assert (read.id, read.title) == (ID, "Order shipped")
    await feed.choose_categories(["orders"])
    await feed.choose_categories(None)
    assert (await feed.renew("newer")).year == 2026
    await feed.ping()
    assert commanded.commands == [
        {"type": "mark_read", "id": "1", "notification_id": str(ID)},
        {"type": "filter", "id": "2", "categories": ["orders"]},
        {"type": "filter", "id": "3", "categories": None},
        {"type": "renew", "id": "4", "token": "newer"},
        {"type": "ping", "id": "5"},
    ]


async def test_a_refused_command_is_an_error_of_its_own_and_the_feed_goes_on(
    feed: Feed, commanded: Commanded
) -> None:
    async def refuse(socket: WebSocket, command: dict[str, Any]) -> None:
        refusal = {"type": "error", "problem": "not-found", "detail": "There is none."}
        await socket.send_json({**refusal, "id": command["id"]})
        await item(socket, 1)

    commanded.answer = refuse
    with pytest.raises(CommandError, match=r"not-found: There is none\.") as refused:
        await feed.mark_read(ID)
    assert (refused.value.name, refused.value.detail) == ("not-found", "There is none.")
    assert (await anext(feed)).event_id == 1


async def test_items_before_a_result_are_kept_and_are_no_position_until_they_are_taken(
    feed: Feed, commanded: Commanded
) -> None:
    async def late(socket: WebSocket, command: dict[str, Any]) -> None:
        await item(socket, 1)
        await socket.send_json({"type": "ping"})
        await item(socket, 2)
        await commanded.succeed(socket, command)

    commanded.answer = late
    await feed.ping()
    assert feed.event_id == 0
    assert [(await anext(feed)).event_id, feed.event_id] == [1, 1]
    assert [(await anext(feed)).event_id, feed.event_id] == [2, 2]


async def test_results_reach_their_commands_in_any_order_while_another_task_takes_items(
    feed: Feed, commanded: Commanded
) -> None:
    waiting: list[dict[str, Any]] = []

    async def reversed_(socket: WebSocket, command: dict[str, Any]) -> None:
        waiting.append(command)
        if len(waiting) == 3:
            for one in reversed(waiting):
                await commanded.succeed(socket, one)
            await item(socket, 1)

    commanded.answer = reversed_
    taking = asyncio.create_task(anext(feed))
    read, _, expires_at = await asyncio.gather(feed.mark_read(ID), feed.ping(), feed.renew("n"))
    assert (read.id, expires_at.year) == (ID, 2026)
    assert (await taking).event_id == 1


async def test_the_late_result_of_a_command_that_was_cancelled_is_no_item(
    feed: Feed, commanded: Commanded
) -> None:
    asked = asyncio.Event()
    held: list[dict[str, Any]] = []

    async def hold(socket: WebSocket, command: dict[str, Any]) -> None:
        held.append(command)
        asked.set()
        if len(held) == 2:
            for one in held:
                await commanded.succeed(socket, one)
            await item(socket, 1)

    commanded.answer = hold
    cancelled = asyncio.create_task(feed.ping())
    await asked.wait()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await feed.ping()
    assert (await anext(feed)).event_id == 1


@pytest.mark.parametrize("code", [1000, 1011])
async def test_a_connection_that_ends_before_the_result_says_that_it_may_have_taken_effect(
    feed: Feed, commanded: Commanded, code: int
) -> None:
    async def close(socket: WebSocket, _: dict[str, Any]) -> None:
        await socket.close(code)

    commanded.answer = close
    with pytest.raises(FeedError, match="closed") as lost:
        await feed.ping()
    assert (lost.value.code, lost.value.permanent) == (code, False)


async def test_a_result_that_never_comes_is_awaited_no_longer_than_the_timeout(
    commanded: Commanded,
) -> None:
    async def silent(_: WebSocket, __: dict[str, Any]) -> None:
        pass

    commanded.answer = silent
    async with (
        serving(commanded.app) as url,
        SlipwayClient(url, timeout=0.3) as client,
        client.feed("good") as feed,
    ):
        with pytest.raises(FeedError, match="no result of `ping` within 0"):
            await feed.ping()


async def test_a_result_of_another_shape_is_named(feed: Feed, commanded: Commanded) -> None:
    async def strange(socket: WebSocket, command: dict[str, Any]) -> None:
        await socket.send_json({"type": "result", "id": command["id"], "data": {"id": 1}})

    commanded.answer = strange
    with pytest.raises(FeedError, match="not a Notification") as failed:
        await feed.mark_read(ID)
    assert failed.value.permanent
