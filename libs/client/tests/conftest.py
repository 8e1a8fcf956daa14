"""A small application that returns the API's shapes, in process and on a real port."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI, Header, Request, Response, WebSocket
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
    "version": 4,
}


class Account(BaseModel):
    email: str
    password: str
    full_name: str


def _problem(status: int, name: str, **members: object) -> JSONResponse:
    body = {"type": f"https://example.com/problems/{name}", "title": name, **members}
    return JSONResponse(body, status, media_type="application/problem+json")


routes = APIRouter()
API_KEY = {
    "id": ID,
    "prefix": "slipway_a1",
    "scopes": ["orders:read"],
    "created_at": TIME,
    "expires_at": TIME,
}


@routes.post("/api/v1/api-keys")
async def create_api_key(body: dict[str, object]) -> object:
    key = API_KEY | {"api_key": "secret", "scopes": body["scopes"]}
    if "expires_at" in body:
        return key | body
    return key | {"name": f"{body['name']} {' '.join(body)}"}


@routes.get("/api/v1/api-keys")
async def api_keys(limit: str) -> object:
    return {"items": [API_KEY | {"name": limit}], "next_cursor": None}


@routes.delete("/api/v1/api-keys/{key_id}")
async def revoke_api_key(key_id: str) -> Response:
    return Response(status_code=204) if key_id == ID else _problem(404, "api-key-not-found")


@routes.get("/api/v1/orders")
async def orders(request: Request) -> object:
    asked = dict(request.query_params)
    page = {"items": [ORDER | {"status": f"{sorted(asked)}"}], "next_cursor": "more"}
    return page | {"total": 7} if asked.get("total") == "true" else page


@routes.get("/api/v1/orders/{order_id}/history")
async def history(order_id: str) -> object:
    assert order_id == ID
    system = {"kind": "system", "id": None}
    placed = {"version": 1, "status": "placed", "at": TIME, "actor": {"kind": "user", "id": ID}}
    cancelled = {"version": 2, "status": "cancelled", "at": TIME, "actor": system}
    return {"items": [placed | {"reason": None}, cancelled | {"reason": "not_confirmed"}]}


@routes.post("/api/v1/orders/transitions")
async def transitions(body: dict[str, list[dict[str, object]]]) -> object:
    first, second = body["items"]
    assert set(first) == {"order_id", "to", "version", "reason"}
    assert set(second) == {"order_id", "to"}
    error = {
        "type": "https://example.com/problems/not-found",
        "title": "No order.",
        "status": 404,
        "detail": "You have no such order.",
    }
    changed = {"order_id": first["order_id"], "status": first["to"], "version": 3, "error": None}
    missing = {"order_id": second["order_id"], "status": None, "version": None, "error": error}
    return {"items": [changed, missing]}


@routes.post("/api/v1/orders/{order_id}/{verb}")
async def advance(
    order_id: str,
    verb: str,
    body: dict[str, str] | None = None,
    if_match: Annotated[str | None, Header()] = None,
) -> object:
    reason = None if body is None else body["reason"]
    return ORDER | {"id": order_id, "status": f"{verb} {reason} {if_match}", "version": 2}


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


@routes.post("/api/v1/auth/token")
async def refresh(request: Request) -> object:
    form = (await request.body()).decode()
    if form != "grant_type=refresh_token&refresh_token=r":
        return JSONResponse({"error": "invalid_grant"}, 400)
    token = {"access_token": "b", "refresh_token": "s", "token_type": "Bearer"}
    return token | {"expires_in": 600}


@routes.post("/api/v1/auth/revoke")
async def revoke(request: Request) -> object:
    return JSONResponse({}, 200 if await request.body() == b"token=r" else 400)


@routes.get("/api/v1/users/me")
async def me(authorization: Annotated[str, Header()]) -> object:
    return {"id": ID, "email": authorization, "full_name": "A", "roles": ["customer"]}


@routes.get("/api/v1/users/me/export")
async def export(authorization: Annotated[str, Header()]) -> object:
    return {"users": {"accounts": [{"email": authorization}]}, "orders": {"orders": []}}


@routes.patch("/api/v1/users/{user_id}")
async def roles(
    user_id: str, change: dict[str, list[str] | bool], content_type: Annotated[str, Header()]
) -> object:
    assert content_type == "application/merge-patch+json"
    active = f"is_active {change.pop('is_active')}" if "is_active" in change else "A"
    return {"id": user_id, "email": "a@example.com", "full_name": active, **change}


@routes.put("/api/v1/users/me/password", status_code=204, response_model=None)
async def password(body: dict[str, str], authorization: Annotated[str, Header()]) -> object:
    assert (body["new_password"], authorization) == ("something longer", "Bearer a")
    if body["current_password"] == "wrong":
        return _problem(403, "wrong-password")
    return Response(status_code=204)


@routes.delete("/api/v1/users/me", status_code=204)
async def leave(authorization: Annotated[str, Header()]) -> None:
    assert authorization == "Bearer a"


@routes.get("/api/v1/products")
async def products(limit: int, q: str | None = None) -> object:
    assert (limit, q) == (5, "rope")
    return {"items": [{"id": ID, **PRODUCT}], "next_cursor": "more"}


@routes.post("/api/v1/products", status_code=201)
async def create(product: dict[str, object]) -> object:
    return {"id": ID, **product, "version": 1}


@routes.get(f"/api/v1/products/{ID}")
async def product() -> object:
    return {"id": ID, **PRODUCT}


@routes.patch(f"/api/v1/products/{ID}")
async def change(
    changes: dict[str, object],
    content_type: Annotated[str, Header()],
    if_match: Annotated[str | None, Header()] = None,
) -> object:
    assert content_type == "application/merge-patch+json"
    return {"id": ID, **PRODUCT, **changes, "description": f"{sorted(changes)} {if_match}"}


@routes.put(f"/api/v1/products/{ID}/stock")
async def set_stock(
    body: dict[str, object], if_match: Annotated[str | None, Header()] = None
) -> object:
    return {"id": ID, **PRODUCT, "stock": body["stock"], "name": f"{body['reason']} {if_match}"}


ADJUSTMENT = {"id": ID, "product_id": ID, "actor_id": ID, "created_at": "2026-01-01T00:00:00Z"}


@routes.post(f"/api/v1/products/{ID}/stock-adjustments", status_code=201)
async def adjust(
    body: dict[str, object], idempotency_key: Annotated[str | None, Header()] = None
) -> object:
    return {**ADJUSTMENT, **body, "stock": 9, "reason": f"{body['reason']} {idempotency_key}"}


@routes.get(f"/api/v1/products/{ID}/stock-adjustments")
async def adjustments(limit: int) -> object:
    row = {**ADJUSTMENT, "delta": limit, "stock": 9, "reason": "x", "actor_id": None}
    return {"items": [row], "next_cursor": None}


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
    listener.listen()  # connections are queued from now on, even before the server runs
    task = asyncio.create_task(server.serve(sockets=[listener]))
    port = listener.getsockname()[1]
    try:
        async with SlipwayClient(f"http://127.0.0.1:{port}", timeout=2) as client:
            yield client
    finally:
        server.should_exit = True
        await task
        listener.close()
