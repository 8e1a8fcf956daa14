"""The demo tells each hop, and fails when one is missing."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn
from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse
from rich.console import Console

from slipway import demo
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.spans import Span
from slipway.traces import SpanStore, create_app

ID = "01990000-0000-7000-8000-000000000001"
TIME = "2026-01-02T03:04:05Z"
MONEY = {"amount": 1000, "currency": "EUR"}
SPANS = (
    ("orders", "commit"),
    ("orders-worker", "send slipway.orders"),
    ("notifications-worker", "process slipway.orders"),
    ("notifications", "feed push"),
)


class World:
    """The gateway and the trace sink in one application; what it leaves out is for the tests."""

    def __init__(self) -> None:
        self.store = SpanStore()
        self.spans = list(SPANS)
        self.stock = 1
        self.placed = asyncio.Event()
        self.told = ID
        self.url = ""
        self.app = FastAPI()
        api = APIRouter(prefix="/api/v1")
        api.add_api_route("/users", self.register, methods=["POST"], status_code=201)
        api.add_api_route("/auth/login", self.login, methods=["POST"])
        api.add_api_route("/products", self.products)
        api.add_api_route("/orders", self.order, methods=["POST"], status_code=201)
        api.add_api_websocket_route("/notifications/ws", self.feed)
        self.app.include_router(api)
        self.app.mount("/sink", create_app(self.store))

    async def register(self) -> object:
        return {"id": ID, "email": "x", "full_name": "x"}

    async def login(self) -> object:
        return {"access_token": "a", "refresh_token": "r", "token_type": "Bearer", "expires_in": 1}

    async def products(self) -> object:
        product = {"id": ID, "sku": "S", "name": "N", "price": MONEY, "stock": self.stock}
        return {"items": [product], "next_cursor": None}

    async def order(self, request: Request) -> object:
        _, trace_id, parent, flags = request.headers["traceparent"].split("-")
        assert flags == "01"
        for place, (service, name) in enumerate(self.spans):
            self.store.add(
                Span(
                    trace_id=trace_id,
                    span_id=str(place),
                    parent_span_id=parent,
                    service=service,
                    name=name,
                    kind="internal",
                    start=0,
                    end=10**18 * 2 + place,
                    error=False,
                    attributes={},
                )
            )
        self.placed.set()
        order = {"id": ID, "status": "placed", "items": [], "total": MONEY, "version": 1}
        return JSONResponse(order | {"created_at": TIME, "updated_at": TIME}, 201)

    async def feed(self, socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive_json()
        await socket.send_json({"type": "ready", "event_id": 0})
        await self.placed.wait()
        data = {"id": ID, "data": {"order_id": self.told}}
        await socket.send_json({"type": "order", "event_id": 1, "data": {}})
        if self.told:
            await socket.send_json({"type": "notification", "event_id": 2, "data": data})
        await socket.close()

    async def play(self) -> demo.Journey:
        return await demo.play(self.url, f"{self.url}/sink", Reporter.silent(), limit=1)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    config = uvicorn.Config(world.app, port=0, log_level="warning", ws="websockets-sansio")
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    listener.listen()
    task = asyncio.create_task(server.serve(sockets=[listener]))
    world.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    yield world
    server.should_exit = True
    await task
    listener.close()


async def test_each_hop_is_shown_with_its_time(world: World) -> None:
    journey = await world.play()
    names = [name for name, _, _ in journey.rows()]
    assert names[0] == "request"
    assert set(names) == {
        "request",
        "commit",
        "published",
        "consumed",
        "pushed",
        "received",
        "answered",
    }
    assert journey.rows()[0][1] == 0
    console = Console(width=120, quiet=True)
    console.print(demo.as_table(journey))


async def test_a_missing_span_is_named(world: World) -> None:
    del world.spans[1]
    with pytest.raises(SlipwayError, match=r"1 s: `published` \(a span `send slipway.orders`"):
        await world.play()


async def test_a_missing_push_is_named(world: World) -> None:
    world.told = ""
    with pytest.raises(SlipwayError, match="hop `received` is missing: the feed was closed"):
        await world.play()


async def test_a_push_for_another_order_is_no_success(world: World) -> None:
    world.told = "other"
    with pytest.raises(SlipwayError, match="told of order other in place of"):
        await world.play()


async def test_an_empty_catalogue_is_named(world: World) -> None:
    world.stock = 0
    with pytest.raises(SlipwayError, match="no product is in stock"):
        await world.play()


async def test_a_gateway_that_is_away_is_named() -> None:
    with pytest.raises(SlipwayError, match="the demo can't go on: All connection"):
        await demo.play("http://127.0.0.1:1", "http://127.0.0.1:1", Reporter.silent())
