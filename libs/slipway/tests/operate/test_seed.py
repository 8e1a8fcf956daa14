"""The demo data is complete after any number of runs; complete data is left alone."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from client import SlipwayClient
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.operate.seed import CUSTOMER, DEMO_PASSWORD, SUPPORT, seed, seed_through
from slipway.refusals import refusals_of
from slipway.settings import SlipwaySettings

ID = "01990000-0000-7000-8000-00000000000{}"
TIME = "2026-01-02T03:04:05Z"
VERSIONED = {"version": 1, "created_at": TIME, "updated_at": TIME}


class Api:
    """The part of the API that seeding uses, in memory; counts writes."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.products: dict[str, dict[str, Any]] = {}
        self.writes = 0
        self.broken = False
        self.add_user("admin@example.com", ["admin"])

    def add_user(self, email: str, roles: list[str]) -> dict[str, Any]:
        user: dict[str, Any] = {"id": ID.format(len(self.users)), "email": email}
        user |= {"full_name": "x", "roles": roles}
        user |= {"is_active": True, "email_verified": False} | VERSIONED
        self.users[email] = user
        return user

    async def answer(  # noqa: PLR0911 - one return for each route
        self, request: Request
    ) -> JSONResponse:
        body = await request.json() if request.method != "GET" else {}
        self.writes += request.method != "GET" and "auth" not in request.url.path
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        match request.method, request.url.path.removeprefix("/api/v1"):
            case _ if self.broken:
                return problem(503)
            case "POST", "/auth/login":
                known = body["email"] in self.users and body["password"] == DEMO_PASSWORD
                return token(body["email"]) if known else problem(401)
            case "POST", "/users":
                return JSONResponse(self.add_user(body["email"], ["customer"]), 201)
            case "GET", "/users/me":
                return JSONResponse(self.users[bearer])
            case "PATCH", path if bearer == "admin@example.com":
                user = next(u for u in self.users.values() if path.endswith(u["id"]))
                user["roles"] = body["roles"]
                return JSONResponse(user)
            case "GET", "/products":
                return JSONResponse({"items": list(self.products.values()), "next_cursor": None})
            case "POST", "/products" if bearer == "admin@example.com":
                if body["sku"] == "ROPE-MANILA-20" and self.products:
                    return problem(409)
                self.products[body["sku"]] = product = (
                    {"id": ID.format(9), "active": True} | VERSIONED | body
                )
                return JSONResponse(product, 201)
        return problem(404)


def token(email: str) -> JSONResponse:
    body = {"access_token": email, "refresh_token": "r", "token_type": "Bearer"}
    return JSONResponse(body | {"expires_in": 600, "scope": ""})


def problem(status: int) -> JSONResponse:
    body = {"type": "about:blank", "title": f"status {status}"}
    return JSONResponse(body, status, media_type="application/problem+json")


@pytest.fixture
def settings() -> SlipwaySettings:
    return SlipwaySettings()


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def client(api: Api) -> AsyncIterator[SlipwayClient]:
    app = FastAPI()
    app.add_api_route("/{path:path}", api.answer, methods=["GET", "POST", "PATCH"])
    transport = httpx.ASGITransport(app=app)
    async with SlipwayClient("http://gateway", transport=transport) as client:
        yield client


async def test_accounts_and_catalogue_are_made_once(
    api: Api, client: SlipwayClient, settings: SlipwaySettings
) -> None:
    await seed_through(client, settings, Reporter.silent())
    assert api.users[CUSTOMER]["roles"] == ["customer"]
    assert api.users[SUPPORT]["roles"] == ["customer", "support"]
    assert len(api.products) >= 12
    assert all(product["stock"] == 1000 for product in api.products.values())

    api.writes = 0
    await seed_through(client, settings, Reporter.silent())
    assert api.writes == 0


async def test_what_is_missing_is_added(
    api: Api, client: SlipwayClient, settings: SlipwaySettings
) -> None:
    await seed_through(client, settings, Reporter.silent())
    api.products = {"OTHER": api.products["OAR-ASH-250"]}
    await seed_through(client, settings, Reporter.silent())
    assert len(api.products) == 13  # the rope's own 409 counts as "exists already"


async def test_a_refusal_is_raised(
    api: Api, client: SlipwayClient, settings: SlipwaySettings
) -> None:
    api.broken = True
    with pytest.raises(SlipwayError, match="no data: 503 status 503"), refusals_of("no data"):
        await seed_through(client, settings, Reporter.silent())


async def test_an_unavailable_gateway_is_named() -> None:
    settings = SlipwaySettings.model_construct(gateway_port=1)
    with pytest.raises(SlipwayError, match=r"can't be created through http://127\.0\.0\.1:1: All"):
        await seed("http://127.0.0.1:1", settings, Reporter.silent())


def test_other_errors_stay_what_they_are() -> None:
    group = ExceptionGroup("g", [ValueError("a bug")])
    with pytest.raises(ExceptionGroup), refusals_of("no data"):
        raise group
