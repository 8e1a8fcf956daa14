"""The demo prints each hop, and fails if one is missing."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn
from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse
from rich.console import Console

from slipway.console import Reporter
from slipway.demo.journey import Journey, as_table, play
from slipway.errors import SlipwayError
from slipway.local.spans import Span
from slipway.local.traces import SpanStore, create_app
from slipway.operate.seed import SUPPORT

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
ID = "01990000-0000-7000-8000-000000000001"
TIME = "2026-01-02T03:04:05Z"
MONEY = {"amount": 1000, "currency": "EUR"}
VERSIONED = {"version": 1, "created_at": TIME, "updated_at": TIME}
SPANS = (
    ("orders", "commit"),
    ("orders-worker", "send slipway.orders"),
    ("notifications-worker", "process slipway.orders"),
    ("notifications-worker", "settle slipway.orders"),
    ("notifications", "feed push"),
)


class World:
    """The gateway and the trace sink in one application; tests choose what it leaves out."""

    def __init__(self) -> None:
        self.store = SpanStore()
        self.spans = list(SPANS)
        self.stock = 1
        self.scope = "orders:write orders:fulfil"
        self.login_status = 200
        self.news: asyncio.Queue[str] = asyncio.Queue()
        self.lost = ""
        self.pushed_order = ID
        self.url = ""
        self.app = FastAPI()
        api = APIRouter(prefix="/api/v1")
        api.add_api_route("/users", self.register, methods=["POST"], status_code=201)
        api.add_api_route("/auth/login", self.login, methods=["POST"])
        api.add_api_route("/products", self.products)
        api.add_api_route("/orders", self.order, methods=["POST"], status_code=201)
        api.add_api_route("/orders/{order_id}/{verb}", self.advance, methods=["POST"])
        api.add_api_websocket_route("/notifications/ws", self.feed)
        self.app.include_router(api)
        self.app.mount("/sink", create_app(self.store))

    async def register(self) -> object:
        user = {"id": ID, "email": "x", "full_name": "x", "roles": ["customer"]}
        return user | {"is_active": True, "email_verified": False} | VERSIONED

    async def login(self, account: dict[str, str]) -> object:
        if account["email"] == SUPPORT and self.login_status != 200:
            problem = {"type": "about:blank", "title": "no such account"}
            return JSONResponse(problem, self.login_status, media_type="application/problem+json")
        tokens = {"access_token": account["email"], "refresh_token": "r", "token_type": "Bearer"}
        return tokens | {"expires_in": 1, "scope": self.scope}

    async def products(self) -> object:
        product = {
            "id": ID, "sku": "S", "name": "N", "description": "", "price": MONEY, "active": True
        }  # fmt: skip
        product |= {"stock": self.stock} | VERSIONED
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
        self.news.put_nowait("order.placed")
        return JSONResponse(self.in_status("placed"), 201)

    async def advance(self, order_id: str, verb: str, request: Request) -> object:
        assert (order_id, request.headers["authorization"]) == (ID, f"Bearer {SUPPORT}")
        status = {"confirm": "confirmed", "ship": "shipped"}[verb]
        self.news.put_nowait(f"order.{status}")
        return self.in_status(status)

    def in_status(self, status: str) -> dict[str, object]:
        order = {"id": ID, "customer_id": ID, "status": status, "items": [], "total": MONEY}
        return order | {"shipping_address": None} | VERSIONED

    async def feed(self, socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive_json()
        await socket.send_json({"type": "ready", "event_id": 0})
        await socket.send_json({"type": "order", "event_id": 1, "data": {}})
        while (news := await self.news.get()) != self.lost:
            data = {"id": ID, "type": news, "data": {"order_id": self.pushed_order}}
            await socket.send_json({"type": "notification", "event_id": 2, "data": data})
        await socket.close()

    async def play(self, logs: Path | None = None) -> Journey:
        sink = f"{self.url}/sink"
        return await play(self.url, sink, Reporter.silent(), limit=1, logs=logs)


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
    world.news.put_nowait(world.lost)  # ends the feed, which the server would wait for
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
        "stored",
        "pushed",
        "received",
        "answered",
        "confirmed",
        "shipped",
    }
    assert [step.push.type for step in journey.steps] == ["order.confirmed", "order.shipped"]
    assert journey.rows()[0][1] == 0
    console = Console(width=120, quiet=True)
    console.print(as_table(journey))


async def test_a_missing_span_is_named(world: World) -> None:
    del world.spans[1]
    with pytest.raises(SlipwayError, match=r"1 s: `published` \(a span `send slipway.orders`"):
        await world.play()


REFUSED = "Transient error: Unable to connect to proxy 127.0.0.1:9, retrying in 1 s"


def line(event: str, *, level: str = "warning", seconds: int = 60, logger: str = EXPORTER) -> str:
    time = datetime.now(UTC) + timedelta(seconds=seconds)
    entry = {"event": event, "level": level, "logger": logger, "timestamp": time.isoformat()}
    return json.dumps(entry)


async def test_why_a_span_is_missing_is_in_the_log_of_its_process(
    world: World, tmp_path: Path
) -> None:
    del world.spans[2], world.spans[0]
    lines = [
        "Traceback (most recent call last):",
        '{"event": "no more than this"}',
        "[1]",
        line("of yesterday's proxy", seconds=-86400),
        line("an earlier reason"),
        line(REFUSED),
        line("Failed to export spans batch due to timeout", level="error"),
        line("of something else", logger="orders"),
    ]
    (tmp_path / "orders.log").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "notifications.log").write_text(line("of a process that sent its spans"))
    with pytest.raises(SlipwayError) as missing:
        await world.play(logs=tmp_path)
    first, *reasons = str(missing.value).splitlines()
    assert first.startswith("Missing in the trace after 1 s: `commit`")
    log = tmp_path / "notifications-worker.log"
    assert reasons == [
        f"  orders could not export its spans: {REFUSED}",
        f"  notifications-worker logged no error; see {log}",
    ]


@pytest.mark.parametrize(
    ("news", "hop"),
    [
        ("order.placed", "received"),
        ("order.confirmed", "confirmed"),
        ("order.shipped", "shipped"),
    ],
)
async def test_a_missing_push_is_named(world: World, news: str, hop: str) -> None:
    world.lost = news
    with pytest.raises(SlipwayError, match=f"The hop `{hop}` is missing: the feed was closed"):
        await world.play()


async def test_the_push_of_another_step_is_no_success(world: World) -> None:
    world.news.put_nowait("order.placed")  # so each push comes one step late
    with pytest.raises(SlipwayError, match=r"sent order\.placed about order .*, not order\.conf"):
        await world.play()


@pytest.mark.parametrize(("status", "scope"), [(401, "any"), (429, "any"), (200, "orders:write")])
async def test_without_an_account_of_support_the_order_stays_placed(
    world: World, status: int, scope: str
) -> None:
    world.login_status, world.scope = status, scope
    journey = await world.play()
    assert journey.steps == []
    assert "received" in {name for name, _, _ in journey.rows()}


async def test_a_refused_log_in_of_support_is_named(world: World) -> None:
    world.login_status = 503
    with pytest.raises(SlipwayError, match="The demo failed: 503"):
        await world.play()


async def test_a_push_for_another_order_is_no_success(world: World) -> None:
    world.pushed_order = "other"
    with pytest.raises(SlipwayError, match="about order other, not"):
        await world.play()


async def test_an_empty_catalogue_is_named(world: World) -> None:
    world.stock = 0
    with pytest.raises(SlipwayError, match="No product is in stock"):
        await world.play()


async def test_an_unavailable_gateway_is_named() -> None:
    with pytest.raises(SlipwayError, match="The demo failed: All connection"):
        await play("http://127.0.0.1:1", "http://127.0.0.1:1", Reporter.silent())
