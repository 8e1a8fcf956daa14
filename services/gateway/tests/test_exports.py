"""The export of a person's data: the parts of all services, whole or not at all."""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx
import pytest
from pydantic import SecretStr

from chassis.database import new_id
from chassis.http.limits import MAX_EXPORT_BYTES
from gateway.settings import EXPORTS_AT_A_TIME
from testkit.waiting import until

EXPORT = "/api/v1/users/me/export"
NOWHERE = "http://127.0.0.1:1"
NAMES = ("users", "orders", "notifications")


@dataclass
class PartOf:
    """A service that responds to a request for its part."""

    content: bytes = b"{}"
    status: int = 200
    kind: bytes = b"application/json"
    fields: tuple[tuple[bytes, bytes], ...] = ()
    breaks_off: bool = False
    hangs: bool = False
    gate: asyncio.Event | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope, receive, send):
        assert (scope["method"], scope["path"]) == ("GET", "/exports/me")
        assert scope["query_string"] == b""
        self.requests.append({name.decode(): text.decode() for name, text in scope["headers"]})
        self.asked.set()
        if self.hangs:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.gone.set()
            return
        if self.gate is not None:
            await self.gate.wait()
        headers = [(b"content-type", self.kind), *self.fields]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.content, "more_body": True})
        if self.breaks_off:
            message = "the service breaks off"
            raise ConnectionAbortedError(message)
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def parts():
    return {name: PartOf(content=json.dumps({"of": [name]}).encode()) for name in NAMES}


@pytest.fixture
async def exporting(start, serving, parts):
    """Start a gateway in front of the three parts."""
    async with AsyncExitStack() as stack:

        async def started(**changes):
            urls = {}
            for name, part in parts.items():
                port = await stack.enter_async_context(serving(part, lifespan="off"))
                urls[f"{name}_url"] = f"http://127.0.0.1:{port}"
            return await start(**{**urls, **changes})

        yield started


async def test_an_export_has_the_part_of_each_service(exporting, parts, bearer):
    gateway = await exporting()
    answer = await gateway.http.get(EXPORT, headers=bearer)
    assert answer.status_code == 200
    assert answer.json() == {name: {"of": [name]} for name in NAMES}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-length"] == str(len(answer.content))
    for part in parts.values():
        [seen] = part.requests
        assert seen["authorization"] == bearer["Authorization"]
        assert seen["x-request-id"] == answer.headers["x-request-id"]
        assert 0 < int(seen["x-request-timeout-ms"]) <= 30_000


async def test_of_the_callers_headers_the_services_see_the_token_alone(exporting, parts, bearer):
    gateway = await exporting()
    sent = {
        "Range": "bytes=0-1",
        "If-None-Match": "*",
        "Accept-Encoding": "gzip",
        "Cookie": "a=b",
        "X-User": "admin",
        "Content-Type": "text/plain",
    }
    answer = await gateway.http.request(
        "GET", EXPORT, headers={**bearer, **sent}, content=b"a body that nobody reads"
    )
    assert answer.status_code == 200
    for part in parts.values():
        [seen] = part.requests
        assert not {name.lower() for name in sent} & seen.keys()
        assert not {"content-length", "transfer-encoding"} & seen.keys()


@pytest.mark.parametrize("name", NAMES)
async def test_without_one_service_there_is_no_export(exporting, bearer, name, assert_problem):
    gateway = await exporting(**{f"{name}_url": NOWHERE})
    answer = await gateway.http.get(EXPORT, headers=bearer)
    problem = assert_problem(answer, 503, "unavailable")
    assert f"The service {name} returned no part" in problem["detail"]
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    "broken",
    [
        {"status": 500},
        {"status": 503},
        {"status": 404},
        {"status": 302, "fields": ((b"location", b"/elsewhere"),)},
        {"kind": b"text/html"},
        {"breaks_off": True},
        {"content": b"x" * (MAX_EXPORT_BYTES + 1)},
    ],
    ids=["500", "503", "404", "302", "HTML", "breaks off", "too large"],
)
async def test_a_part_that_is_not_whole_is_none(exporting, parts, bearer, broken, assert_problem):
    for name, value in broken.items():
        setattr(parts["orders"], name, value)
    gateway = await exporting()
    answer = await gateway.http.get(EXPORT, headers=bearer)
    assert "The service orders" in assert_problem(answer, 503, "unavailable")["detail"]
    vars(parts["orders"]).update(vars(PartOf()))
    assert (await gateway.http.get(EXPORT, headers=bearer)).status_code == 200


async def test_a_part_as_large_as_allowed_is_passed_on(exporting, parts, bearer):
    parts["orders"].content = b'"%b"' % (b"x" * (MAX_EXPORT_BYTES - 2))
    gateway = await exporting()
    answer = await gateway.http.get(EXPORT, headers=bearer)
    assert len(answer.json()["orders"]) == MAX_EXPORT_BYTES - 2


async def test_a_service_that_is_too_slow_is_503_and_is_not_waited_for(
    exporting, parts, bearer, assert_problem
):
    parts["notifications"].hangs = True
    gateway = await exporting(seconds=0.3)
    answer = await gateway.http.get(EXPORT, headers=bearer)
    assert "notifications" in assert_problem(answer, 503, "unavailable")["detail"]
    async with asyncio.timeout(5):
        await parts["notifications"].gone.wait()
    assert gateway.process.registry.get_sample_value(
        "gateway_upstream_failures_total", {"service": "notifications", "kind": "timeout"}
    )


async def test_the_failure_of_one_service_ends_the_requests_to_the_others(
    exporting, parts, bearer, assert_problem
):
    parts["users"].hangs = True
    parts["orders"].gate = parts["users"].asked
    parts["orders"].status = 500
    gateway = await exporting()
    answer = await gateway.http.get(EXPORT, headers=bearer)
    assert_problem(answer, 503, "unavailable")
    async with asyncio.timeout(5):
        await parts["users"].gone.wait()


async def test_an_export_ends_with_its_client_and_leaves_its_place(
    exporting, parts, bearer, assert_problem
):
    for part in parts.values():
        part.hangs = True
    gateway = await exporting()
    exporting_to_nobody = asyncio.create_task(gateway.http.get(EXPORT, headers=bearer))
    for part in parts.values():
        await part.asked.wait()
    assert_problem(await gateway.http.get(EXPORT, headers=bearer), 429, "too-many-requests")
    exporting_to_nobody.cancel()
    async with asyncio.timeout(5):  # long before the 30 s of the route
        for part in parts.values():
            await part.gone.wait()
            part.hangs = False

    async def has_a_place():
        return (await gateway.http.get(EXPORT, headers=bearer)).status_code == 200

    await until(has_a_place)


@pytest.mark.parametrize("status", [401, 403, 409])
async def test_a_refusal_for_the_caller_is_passed_on(exporting, parts, bearer, status):
    content = b'{"type": "x", "detail": "why"}'
    parts["orders"].status = status
    parts["orders"].kind = b"application/problem+json"
    parts["orders"].content = content
    parts["orders"].fields = ((b"www-authenticate", b"Bearer"),)
    gateway = await exporting()
    answer = await gateway.http.get(EXPORT, headers=bearer)
    assert (answer.status_code, answer.content) == (status, content)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x.y.z"}])
async def test_without_a_valid_token_no_service_is_asked(exporting, parts, headers, assert_problem):
    gateway = await exporting()
    assert_problem(await gateway.http.get(EXPORT, headers=headers), 401, "unauthenticated")
    assert not any(part.requests for part in parts.values())


async def test_two_exports_at_once_are_both_whole(exporting, parts, tokens):
    gate = asyncio.Event()
    parts["orders"].gate = gate
    gateway = await exporting()
    both = [
        asyncio.create_task(gateway.http.get(EXPORT, headers=tokens.headers())) for _ in range(2)
    ]
    await until(lambda: len(parts["orders"].requests) == 2)
    gate.set()
    answers = await asyncio.gather(*both)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json() == {name: {"of": [name]} for name in NAMES}


async def test_more_exports_than_fit_into_memory_are_503(
    exporting, parts, bearer, tokens, assert_problem
):
    gate = asyncio.Event()
    parts["orders"].gate = gate
    gateway = await exporting()
    first = [
        asyncio.create_task(gateway.http.get(EXPORT, headers=tokens.headers()))
        for _ in range(EXPORTS_AT_A_TIME)
    ]
    await until(lambda: len(parts["orders"].requests) == EXPORTS_AT_A_TIME)
    refused = await gateway.http.get(EXPORT, headers=bearer)
    assert_problem(refused, 503, "unavailable")
    gate.set()
    assert {answer.status_code for answer in await asyncio.gather(*first)} == {200}
    assert (await gateway.http.get(EXPORT, headers=bearer)).status_code == 200


async def test_one_user_holds_one_place_and_leaves_the_others_to_other_users(
    exporting, parts, tokens, assert_problem
):
    gate = asyncio.Event()
    parts["orders"].gate = gate
    gateway = await exporting()
    user, bob = new_id(), tokens.headers()
    first = asyncio.create_task(gateway.http.get(EXPORT, headers=tokens.headers(subject=user)))
    await until(lambda: len(parts["orders"].requests) == 1)
    for _ in range(EXPORTS_AT_A_TIME):
        refused = await gateway.http.get(EXPORT, headers=tokens.headers(subject=user))
        assert_problem(refused, 429, "too-many-requests")
        assert int(refused.headers["retry-after"]) >= 1
    assert gateway.metric("gateway_bulkhead_refusals_total", bulkhead="exports") == (
        EXPORTS_AT_A_TIME
    )
    other = asyncio.create_task(gateway.http.get(EXPORT, headers=bob))
    await until(lambda: len(parts["orders"].requests) == 2)
    gate.set()
    assert (await first).status_code == (await other).status_code == 200
    again = await gateway.http.get(EXPORT, headers=tokens.headers(subject=user))
    assert again.status_code == 200


async def test_clients_that_do_not_read_keep_no_places(exporting, parts, bearer, tokens):
    """The response to the first of them is aborted at its deadline."""
    for name in ("users", "orders"):
        parts[name].content = b'"%b"' % (b"x" * (MAX_EXPORT_BYTES - 2))
    gateway = await exporting(seconds=1)
    silent = []
    for _ in range(EXPORTS_AT_A_TIME):
        token = tokens.headers()["Authorization"]
        head = f"GET {EXPORT} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
        writer.write(head.encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        silent.append((reader, writer))

    async def served():
        try:
            return (await gateway.http.get(EXPORT, headers=bearer)).status_code == 200
        except httpx.RemoteProtocolError:  # this client was too slow itself, and was cut off
            return False

    await until(served)
    first, _ = silent[0]
    received = 0
    while part := await first.read(65536):
        received += len(part)
    for _, writer in silent:
        writer.close()
        await writer.wait_closed()
    assert received < 2 * MAX_EXPORT_BYTES


async def test_head_and_options_are_offered_and_other_methods_refused(
    exporting, parts, bearer, assert_problem
):
    gateway = await exporting()
    got = await gateway.http.get(EXPORT, headers=bearer)
    head = await gateway.http.head(EXPORT, headers=bearer)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    asked = len(parts["users"].requests)
    for headers in (None, bearer):
        options = await gateway.http.options(EXPORT, headers=headers)
        assert (options.status_code, options.content) == (204, b"")
        assert options.headers["allow"] == "GET, HEAD, OPTIONS"
    assert len(parts["users"].requests) == asked
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = await gateway.http.request(method, EXPORT, headers=bearer)
        assert_problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_options_is_no_other_way_to_read_an_export(
    exporting, parts, bearer, assert_problem, monkeypatch
):
    """If the gateway's file of methods lacked the path, OPTIONS would come to the export itself."""
    monkeypatch.setattr("gateway.app.read_methods", dict)
    gateway = await exporting()
    answer = await gateway.http.options(EXPORT, headers=bearer)
    assert_problem(answer, 405, "method-not-allowed")
    assert not any(part.requests for part in parts.values())


async def test_exports_have_a_limit_for_each_user(exporting, parts, valkey, tokens, assert_problem):
    gateway = await exporting(
        valkey_url=SecretStr(valkey.url), slipway_limits="on", limit_export="1/minute"
    )
    ada, bob = tokens.headers(), tokens.headers()
    first = await gateway.http.get(EXPORT, headers=ada)
    assert first.status_code == 200
    assert first.headers["ratelimit-policy"] == '"export";q=1;w=60'
    assert_problem(await gateway.http.get(EXPORT, headers=ada), 429, "too-many-requests")
    assert (await gateway.http.get(EXPORT, headers=bob)).status_code == 200
    parts["orders"].status = 403
    for method, status in (("GET", 403), ("DELETE", 405)):
        refused = await gateway.http.request(method, EXPORT, headers=tokens.headers())
        assert refused.status_code == status
        assert refused.headers["ratelimit-policy"] == '"export";q=1;w=60', "it was counted too"


@pytest.mark.parametrize("path", [f"{EXPORT}/", f"{EXPORT}/x", "/api/v1/users/me/exports"])
async def test_other_paths_are_those_of_the_users_service(gateway, service, bearer, path):
    assert (await gateway.http.get(path, headers=bearer)).status_code == 200
    assert service.last.path == path
