"""A system of services that GraphQL's resolvers call, and gateways in front of it."""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest

from chassis.http.problems import TYPE_PREFIX

PROBLEM = TYPE_PREFIX
HANG = "hang"
"""In place of a response: none until the gateway gives up."""


def id_of(number):
    return f"0190f3a4-0000-7000-8000-{number:012}"


def money(amount):
    return {"amount": amount, "currency": "EUR"}


def product(number):
    return {
        "id": id_of(number),
        "sku": f"SKU-{number}",
        "name": f"Product {number}",
        "description": "",
        "price": money(100 * number),
        "stock": 7,
        "active": True,
        "version": 1,
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:05Z",
    }


def order(number, products=(1, 2, 3)):
    return {
        "id": id_of(number),
        "customer_id": id_of(1),
        "status": "placed",
        "items": [
            {
                "product_id": id_of(one),
                "name": f"Then {one}",
                "quantity": 2,
                "unit_price": money(90),
                "total": money(180),
            }
            for one in products
        ],
        "total": money(10**12),
        "shipping_address": None,
        "version": 3,
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:05Z",
    }


def notification(event_id, **data):
    return {
        "id": id_of(event_id),
        "event_id": event_id,
        "type": "order.shipped",
        "title": "Order shipped",
        "body": "On its way.",
        "data": data,
        "created_at": "2026-01-02T03:04:05Z",
        "read_at": None,
    }


USER = {
    "id": id_of(1),
    "email": "ada@example.com",
    "full_name": "Ada",
    "roles": ["customer"],
    "is_active": True,
    "email_verified": True,
    "version": 4,
    "created_at": "2026-01-02T03:04:05Z",
    "updated_at": "2026-01-02T03:04:05Z",
}
SWITCHES = {"in_app": True, "email": False, "webhook": True}
PREFERENCES = {
    "orders": SWITCHES,
    "security": SWITCHES,
    "announcements": SWITCHES,
    "locale": None,
    "version": 2,
}


@dataclass
class Call:
    """A request as a service received it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


@dataclass
class System:
    """All three services: they respond by method and path, and record what they receive.

    `answers` replaces the response to a method and path: a status and a body, a coroutine
    function that returns them, or HANG.
    """

    calls: list[Call] = field(default_factory=list)
    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    orders: list[Any] = field(default_factory=list)
    next_cursor: str | None = None
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    feed: list[dict[str, Any]] = field(default_factory=list)
    sockets: list["FeedOf"] = field(default_factory=list)
    opened: asyncio.Queue["FeedOf"] = field(default_factory=asyncio.Queue)

    def paths(self):
        return [call.path for call in self.calls]

    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket":
            feed = FeedOf(scope, receive, send)
            self.sockets.append(feed)
            await feed.run(self)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        call = Call(
            method=scope["method"],
            path=scope["path"],
            query=parse_qs(scope["query_string"].decode()),
            headers={name.decode(): value.decode() for name, value in scope["headers"]},
            body=json.loads(body) if body else None,
        )
        self.calls.append(call)
        given = self.answers.get((call.method, call.path))
        if given == HANG:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.disconnected.set()
            return
        status, content = await self._answer(call, given)
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    async def _answer(self, call, given):
        if given is not None:
            return await given(call) if callable(given) else given
        return 200, self._body(call)

    def _body(self, call):
        path = call.path.removeprefix("/api/v1/")
        if path == "orders" and call.method == "GET":
            return {"items": self.orders, "next_cursor": self.next_cursor, "total": 99}
        if path == "products":
            ids = call.query.get("ids", [id_of(1)])
            items = [product(int(one[-12:])) for one in ids]
            return {"items": items, "next_cursor": self.next_cursor}
        if path.startswith("products/"):
            return product(int(path[-12:]))
        if path == "notifications" or path.endswith("/read"):
            one = notification(5, order_id=id_of(9))
            return one if path.endswith("/read") else {"items": [one], "next_cursor": None}
        rest = {
            "users/me": USER,
            "notifications/unread-count": {"unread": 3},
            "notifications/read-all": {"unread": 0},
            "notifications/preferences": PREFERENCES,
        }
        return rest.get(path) or order(9)


@dataclass(eq=False)
class FeedOf:
    """One socket of the live feed, as the notifications service serves it."""

    scope: Any
    receive: Any
    write: Any
    hello: dict[str, Any] = field(default_factory=dict)
    received: list[Any] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, **message):
        await self.write({"type": "websocket.send", "text": json.dumps(message)})

    async def item(self, event_id, **data):
        shown = notification(event_id, **data)
        await self.send(type="notification", event_id=event_id, data=shown)

    async def close(self, code, detail="It is over."):
        await self.send(type="error", problem="unauthenticated", detail=detail)
        await self.write({"type": "websocket.close", "code": code, "reason": ""})

    async def run(self, system):
        await self.receive()
        await self.write({"type": "websocket.accept"})
        first = await self.receive()
        if first["type"] != "websocket.disconnect":
            self.hello = json.loads(first["text"])
            start = self.hello.get("last_event_id", 100)
            await self.send(type="ready", event_id=start)
            for item in system.feed:
                if item["event_id"] > start:
                    await self.send(**item)
            system.opened.put_nowait(self)
            message = await self.receive()
            while message["type"] != "websocket.disconnect":
                self.received.append(message.get("text"))
                message = await self.receive()
        self.gone.set()


@pytest.fixture
def system():
    return System(orders=[order(number) for number in range(10, 13)])


@pytest.fixture
async def graph(start, serving, system):
    """Start a gateway in front of the system, and return it."""
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(system, lifespan="off"))
        url = f"http://127.0.0.1:{port}"

        async def started(**changes):
            urls = {f"{name}_url": url for name in ("users", "orders", "notifications")}
            return await start(**{**urls, **changes})

        yield started


@pytest.fixture
async def gateway_of_graph(graph):
    return await graph()


@pytest.fixture
def ask(gateway_of_graph, bearer):
    """Send an operation to a gateway with default settings, and return the parsed response."""

    async def asked(query, variables=None, *, gateway=None, headers=bearer, status=200, **more):
        answer = await (gateway or gateway_of_graph).http.post(
            "/graphql",
            json={"query": query, "variables": variables, **more},
            headers={"Accept": "application/graphql-response+json", **(headers or {})},
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    return asked
