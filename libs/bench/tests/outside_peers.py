"""Debian's HAProxy and nginx do what the gateway does; run by `make outside-check`.

They are installed if they are missing and root runs this.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from bench import duties, peers
from bench.builds import Build
from bench.gateway import PATH
from bench.proxies import Cores
from bench.rig import Rig, open_rig
from bench.tools import install_missing
from bench.wire import get
from localservers.ports import free_port
from slipway.console import Reporter
from slipway.state import find_root

LIMIT = 2
CORES = Cores(load=0, proxy=0)
# What a client must not be able to say, and what it may.
FORGED = {
    "X-User-Id": "1",
    "X_User_Id": "1",
    "X-Auth-Token": "1",
    "X-Original-URL": "/admin",
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Port": "1",
    "X-Real-IP": "203.0.113.9",
    "X-Roles": "admin",
    "X-HTTP-Method-Override": "DELETE",
    "X-Request-ID": "forged",
    "X-Request-Timeout-Ms": "99999",
    "TE": "trailers",
    "Forwarded": "for=203.0.113.9",
}
SET = {
    "host",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
    "x-request-timeout-ms",
}
KEPT = {"accept": "text/html", "accept-encoding": "br", "user-agent": "test", "x-kept": "yes"}
STARTS = [duties.start_haproxy_with_duties, duties.start_nginx_with_duties]


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    await install_missing(peers.TOOLS, Reporter.silent())
    build = Build.this(await asyncio.to_thread(find_root, Path(__file__)))
    async with open_rig(build, tmp_path_factory.mktemp("bench"), Reporter.silent()) as rig:
        yield rig


@pytest.fixture(scope="module")
async def upstream() -> AsyncIterator[str]:
    """Serve what each request's fields were."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        fields = {name.decode(): value.decode() for name, value in scope["headers"]}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(fields).encode()})

    port = free_port()
    config = uvicorn.Config(app, port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest.mark.parametrize("start", STARTS)
async def test_a_peer_has_the_gateways_duties(rig: Rig, upstream: str, start) -> None:
    peer = await start(rig, upstream, CORES, limit=LIMIT)
    await duties.check_duties(rig, peer, PATH)
    user, other = await rig.users(2, "orders:read")
    async with httpx.AsyncClient(base_url=peer.spec.address, trust_env=False, timeout=60) as client:
        await removes_and_sets_fields(client, user.token)
    await limits_each_subject(f"{peer.spec.address}{PATH}", user.token, other.token)


async def removes_and_sets_fields(client: httpx.AsyncClient, token: str) -> None:
    client.headers = httpx.Headers({"Authorization": f"Bearer {token}", **KEPT})
    answer = await client.get(PATH, headers=FORGED)
    fields = answer.json()
    assert fields.keys() - {"connection"} == SET | KEPT.keys() | {"authorization"}
    assert KEPT.items() <= fields.items()
    assert fields["x-forwarded-for"] == fields["x-real-ip"] == "127.0.0.1"
    assert fields["x-request-id"] == answer.headers["x-request-id"] != "forged"
    assert fields["x-request-timeout-ms"] == "5000"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["ratelimit"].startswith('"default";r=')


async def limits_each_subject(url: str, token: str, other: str) -> None:
    """Requests that are sent at once come within a second, however slow the machine is."""
    found = await statuses(url, token, 20)
    assert found[0] == HTTPStatus.OK
    assert HTTPStatus.TOO_MANY_REQUESTS in found
    assert await statuses(url, other, 1) == [HTTPStatus.OK]


async def statuses(url: str, token: str, count: int) -> list[int]:
    """Pipeline so many requests, and return the statuses of the responses."""
    fields = {"authorization": f"Bearer {token}"}
    last = get(url, {**fields, "connection": "close"})
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    received = b""
    try:
        writer.write(get(url, fields) * (count - 1) + last)
        with suppress(ConnectionResetError):  # a proxy may close after it has refused one
            while part := await reader.read(65536):
                received += part
    finally:
        writer.close()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
