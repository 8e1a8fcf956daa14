"""HEAD is offered wherever GET is, and a 405 lists all methods of the resource."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Mount

from chassis.http import Router, create_app
from chassis.process import Process
from chassis.settings import Environment, ProcessSettings
from testkit.clients import client_of, serving
from testkit.tokens import TestTokens

GET_ONLY = ["/api/v1/search", "/api/v1/me", "/api/v1/admin", "/openapi.json"]
# These differ between any two responses.
CHANGING = {"x-request-id", "date"}


def fields_of(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in CHANGING}


@pytest.mark.parametrize(
    "path",
    [
        *GET_ONLY,
        "/api/v1/search?q=a",
        "/api/v1/search?other=1",
        "/api/v1/things/5",
        "/api/v1/sold-out",
        "/api/v1/busy",
        "/api/v1/broken",
        "/api/v1/third-party/refused",
        "/api/v1/nothing",
    ],
)
async def test_head_has_the_status_and_the_fields_of_get_and_no_body(
    client: httpx.AsyncClient, tokens: TestTokens, path: str
):
    headers = tokens.headers(scopes=["a:read", "a:write"])
    got, head = [await client.request(m, path, headers=headers) for m in ("GET", "HEAD")]
    assert head.status_code == got.status_code
    assert head.content == b""
    # The body contains the request id.
    if got.headers["content-type"] == "application/problem+json":
        assert int(head.headers["content-length"]) == len(got.content)
    assert fields_of(head) == fields_of(got)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/baskets", "POST"),
        ("/api/v1/search", "GET, HEAD"),
        ("/api/v1/notes", "POST"),
        ("/api/v1/things/5", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
        ("/api/v1/shelves", "GET, HEAD, POST"),
        ("/api/v1/shelves/1", "DELETE, GET, HEAD, PUT"),
        ("/api/v1/shelves/mine", "DELETE, GET, HEAD, PATCH, PUT"),
    ],
)
@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PROPFIND"])
async def test_a_405_lists_every_method_of_the_resource(
    shelves: httpx.AsyncClient, client: httpx.AsyncClient, method: str, path: str, allowed: str
):
    """Routes of one path may be in several routers, and behind a route with a parameter."""
    asked = shelves if "shelves" in path else client
    answer = await asked.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["allow"] == allowed
    patches = "application/merge-patch+json" if "PATCH" in allowed else None
    assert answer.headers.get("accept-patch") == patches
    assert answer.json()["detail"] == f"{path} does not accept {method}. Use one of: {allowed}."


async def test_head_where_there_is_no_get_is_405(client: httpx.AsyncClient):
    answer = await client.head("/api/v1/baskets")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.content == b""


@pytest.fixture
async def shelves(shelves_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(shelves_app) as opened:
        yield opened


@asynccontextmanager
async def nothing(_: Process) -> AsyncIterator[Mapping[str, Any]]:
    yield {}


@pytest.fixture
def shelves_app() -> FastAPI:
    """An app in which several routes together offer the methods of a resource."""
    one, two, plain = Router(prefix="/api/v1/shelves"), Router(prefix="/api/v1"), APIRouter()

    async def answer() -> dict[str, str]:
        return {"shelf": "a"}

    async def stream() -> StreamingResponse:
        return StreamingResponse(iter(["a", "b"]))

    one.add_api_route("", answer, methods=["GET"])
    two.add_api_route("/shelves", answer, methods=["POST"])
    one.add_api_route("/mine", answer, methods=["GET"])
    one.add_api_route("/mine", answer, methods=["PATCH"])
    two.add_api_route("/shelves/{number}", answer, methods=["PUT"])
    two.add_api_route("/shelves/{number}", answer, methods=["GET"])
    plain.add_api_route("/api/v1/shelves/{number}", answer, methods=["DELETE"])
    plain.add_api_route("/stream", stream, methods=["GET"])
    process = Process(name="shelves", settings=ProcessSettings(environment=Environment.DEVELOPMENT))
    return create_app(
        title="Shelves",
        description="x",
        process=process,
        routers=[one, two, plain],
        open_resources=nothing,
    )


async def test_head_is_no_operation_of_its_own_in_the_document(shelves: httpx.AsyncClient):
    paths = (await shelves.get("/openapi.json")).json()["paths"]
    assert "head" not in {method for path in paths.values() for method in path}


async def test_a_mounted_app_lists_its_own_methods(shelves_app: FastAPI):
    mounted = Starlette(routes=[Mount("/inside", app=shelves_app)])
    transport = httpx.ASGITransport(app=mounted)
    async with (
        shelves_app.router.lifespan_context(shelves_app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as asking,
    ):
        answer = await asking.put("/inside/api/v1/shelves")
        head = await asking.head("/inside/api/v1/shelves")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("path", ["/api/v1/shelves", "/stream", "/nothing"])
async def test_on_the_wire_nothing_follows_the_head(shelves_app: FastAPI, path: str):
    """A client would read further bytes as the next response of the connection."""
    async with serving(shelves_app) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
        async with asyncio.timeout(10):
            answers = await reader.read()
        writer.close()
    status = b"404" if path == "/nothing" else b"200"
    first, second = answers.split(b"HTTP/1.1 " + status)[1:]
    assert first.partition(b"\r\n\r\n")[2] == b""
    assert second.partition(b"\r\n\r\n")[2] != b""
