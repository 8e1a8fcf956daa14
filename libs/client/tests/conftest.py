"""A small application that answers in the API's shapes, in process and on a real port."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI, Header, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel

from client import SlipwayClient

TIME = "2026-01-02T03:04:05Z"
ID = "01990000-0000-7000-8000-000000000001"
ORDER = {
    "id": ID,
    "status": "placed",
    "items": [{"product_id": ID, "quantity": 2, "unit_price": {"amount": 5, "currency": "EUR"}}],
    "total": {"amount": 10, "currency": "EUR"},
    "version": 1,
    "created_at": TIME,
    "updated_at": TIME,
}
NOTIFICATION = {
    "id": ID,
    "event_id": 1,
    "type": "order_placed",
    "title": "Order placed",
    "body": "Thank you",
    "data": {"order_id": ID},
    "created_at": TIME,
    "read_at": None,
}
PRODUCT = {
    "sku": "ROPE",
    "name": "Rope",
    "description": "",
    "price": {"amount": 1, "currency": "EUR"},
    "stock": 3,
}


class Account(BaseModel):
    email: str
    password: str
    full_name: str


def _problem(status: int, name: str, **members: object) -> JSONResponse:
    body = {"type": f"https://example.com/problems/{name}", "title": name, **members}
    return JSONResponse(body, status, media_type="application/problem+json")


routes = APIRouter()


@routes.post("/api/v1/users", status_code=201)
async def register(account: Account) -> object:
    if account.email == "taken@example.com":
        return _problem(409, "email-taken", detail="It has an account.", request_id="r-1")
    if account.email == "wrong":
        errors = [
            {"pointer": "/email", "detail": "no address"},
            {"header": "Idempotency-Key", "detail": "missing"},
        ]
        return _problem(422, "validation", errors=errors, request_id="r-2")
    return {"id": ID, "email": account.email, "full_name": account.full_name, "new": True}


@routes.post("/api/v1/auth/login")
async def login() -> object:
    token = {"access_token": "a", "refresh_token": "r", "token_type": "Bearer"}
    return token | {"expires_in": 600, "scope": "orders:write"}


@routes.get("/api/v1/users/me")
async def me(authorization: Annotated[str, Header()]) -> object:
    return {"id": ID, "email": authorization, "full_name": "A", "roles": ["customer"]}


@routes.patch("/api/v1/users/{user_id}")
async def roles(
    user_id: str, change: dict[str, list[str]], content_type: Annotated[str, Header()]
) -> object:
    assert content_type == "application/merge-patch+json"
    return {"id": user_id, "email": "a@example.com", "full_name": "A", **change}


@routes.get("/api/v1/products")
async def products(limit: int, q: str | None = None) -> object:
    assert (limit, q) == (5, "rope")
    return {"items": [{"id": ID, **PRODUCT}], "next_cursor": "more"}


@routes.post("/api/v1/products", status_code=201)
async def create(product: dict[str, object]) -> object:
    return {"id": ID, **product}


@routes.post("/api/v1/orders", status_code=201)
async def place(
    order: dict[str, object],
    idempotency_key: Annotated[str, Header()],
    traceparent: Annotated[str, Header()],
) -> object:
    assert "line2" not in order["shipping_address"]  # type: ignore[operator]  # JSON of the test
    return ORDER | {"status": f"{idempotency_key} {traceparent}"}


@routes.get("/api/v1/orders/{order_id}")
async def order(order_id: str) -> object:
    return ORDER if order_id == ID else PlainTextResponse("lost", 502)


@routes.get("/api/v1/notifications")
async def notifications(unread: str | None = None) -> object:
    if unread == "true":
        return {"wrong": "shape"}
    return {"items": [NOTIFICATION], "next_cursor": None}


@routes.websocket("/api/v1/notifications/ws")
async def feed(socket: WebSocket) -> None:
    await socket.accept()
    auth = await socket.receive_json()
    assert auth["type"] == "auth"
    await _play(socket, auth)


def _application() -> FastAPI:
    app = FastAPI()
    app.include_router(routes)
    return app


async def _play(socket: WebSocket, auth: dict[str, object]) -> None:
    match auth["token"]:
        case "refused":
            await socket.send_json({"type": "error", "title": "bad token"})
            await socket.close(4401)
        case "closed":
            await socket.close(1000)
        case "broken":
            await socket.send_json({"type": "ready", "event_id": 0})
            await socket.close(1011)
        case "strange":
            await socket.send_text("[]")
            await socket.close()
        case "silent":
            await socket.receive()
        case _:
            last = auth.get("last_event_id", 7)
            await socket.send_json({"type": "ready", "event_id": last})
            await socket.send_json({"type": "ping"})
            await socket.send_json({"type": "notification", "event_id": 8, "data": {"a": 1}})
            await socket.send_json({"type": "reset"})
            await socket.close(1000)


@pytest.fixture
async def api() -> AsyncIterator[SlipwayClient]:
    transport = httpx.ASGITransport(app=_application())
    async with SlipwayClient("http://gateway", transport=transport) as client:
        yield client


@pytest.fixture
async def served() -> AsyncIterator[SlipwayClient]:
    config = uvicorn.Config(_application(), port=0, log_level="warning", ws="websockets-sansio")
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    listener.listen()  # connections wait from now on, also before the server runs
    task = asyncio.create_task(server.serve(sockets=[listener]))
    port = listener.getsockname()[1]
    try:
        async with SlipwayClient(f"http://127.0.0.1:{port}", timeout=2) as client:
            yield client
    finally:
        server.should_exit = True
        await task
        listener.close()
