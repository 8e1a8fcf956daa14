"""A server of the live feed that tests let cut connections, refuse tokens and lose items."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from .documented import SAMPLES

USER = {
    "id": SAMPLES["uuid"],
    "email": "a@example.com",
    "full_name": "A",
    "roles": [],
    "is_active": True,
    "email_verified": False,
    "version": 1,
    "created_at": SAMPLES["date-time"],
    "updated_at": SAMPLES["date-time"],
}


class FeedServer:
    """One user's feed, with ids from 1.

    Attributes:
        app: the application, which also returns the user, whatever the token.
        connections: what each connection has sent as its first message, in order.
        cut: asked before each message to a client: whether to drop the connection instead.
        valid: the access tokens that are accepted.
        oldest: the oldest item that is kept.
        ends: the close codes of the next connections, right after `ready`.
        reconnect_ms: what an `error` before these codes asks for; None: there is none.
    """

    def __init__(self) -> None:
        self.app = FastAPI()
        self.app.add_api_websocket_route("/api/v1/notifications/ws", self._serve)
        self.app.add_api_route("/api/v1/users/me", self._me)
        self.app.add_api_route("/api/v1/auth/token", self._refresh, methods=["POST"])
        self.connections: list[dict[str, Any]] = []
        self.cut: Callable[[], bool] = lambda: False
        self.valid = {"good"}
        self.oldest = 1
        self.ends: list[int] = []
        self.reconnect_ms: int | None = None
        self.refreshed = 0
        self._head = 0
        self._news = asyncio.Condition()

    async def publish(self, number: int = 1) -> None:
        async with self._news:
            self._head += number
            self._news.notify_all()

    async def _me(self) -> object:
        return USER

    async def _refresh(self) -> object:
        self.refreshed += 1
        self.valid = {f"fresh-{self.refreshed}"}
        tokens = {"access_token": f"fresh-{self.refreshed}", "refresh_token": "s"}
        return tokens | {"token_type": "Bearer", "expires_in": 600, "scope": ""}

    async def _serve(self, socket: WebSocket) -> None:
        await socket.accept()
        auth = await socket.receive_json()
        self.connections.append(auth)
        if auth["token"] not in self.valid:
            await socket.send_json({"type": "error", "detail": "The token is not valid."})
            await socket.close(4401)
            return
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send_all(socket, auth.get("last_event_id")))
                group.create_task(_until_left(socket, sending))
        except* WebSocketDisconnect:
            pass

    async def _send_all(self, socket: WebSocket, seen: int | None) -> None:
        kept = range(self.oldest - 1, self._head + 1)
        reset = seen not in {None, 0} and seen not in kept
        position = self._head if seen is None or reset else max(seen, self.oldest - 1)
        messages: list[dict[str, Any]] = [
            {"type": "ready", "event_id": position},
            *([{"type": "reset"}] * reset),
        ]
        for message in messages:
            if not await self._sent(socket, message):
                return
        if self.ends:
            if self.reconnect_ms is not None:
                await socket.send_json({"type": "error", "reconnect_ms": self.reconnect_ms})
            await socket.close(self.ends.pop(0))
            return
        while True:
            async with self._news:
                while self._head <= position:
                    await self._news.wait()
            position += 1
            item = {"type": "notification", "event_id": position, "data": {"n": position}}
            if not await self._sent(socket, item):
                return
            await socket.send_json({"type": "ping"})

    async def _sent(self, socket: WebSocket, message: dict[str, Any]) -> bool:
        if self.cut():
            await socket.close(1011)
            return False
        await socket.send_json(message)
        return True


async def _until_left(socket: WebSocket, sending: asyncio.Task[None]) -> None:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        sending.cancel()


def at_random(chance: float, seed: int) -> Callable[[], bool]:
    """Return a `cut` that is true with that chance."""
    source = random.Random(seed)
    return lambda: source.random() < chance


def once() -> Callable[[], bool]:
    """Return a `cut` that is true for the next message alone."""
    cuts = iter([True])
    return lambda: next(cuts, False)
