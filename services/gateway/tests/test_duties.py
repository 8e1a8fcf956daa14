"""The duties of the edge, through a real gateway and a service on a real socket."""

import asyncio
import gzip
import json
import xml.etree.ElementTree as ET
from contextlib import asynccontextmanager

import pytest

from gateway.links.codings import zstd
from localservers.ports import free_port

ITEMS = json.dumps({"items": [{"id": n, "name": "oak table"} for n in range(100)]}).encode()
PRODUCTS, ORDERS = "/api/v1/products", "/api/v1/orders"
PLAIN = {"Accept-Encoding": "identity"}


class Shop:
    """A service that answers each request with what a test wants; it speaks HTTP by hand."""

    def __init__(self):
        self.heads = []
        self.status = "200 OK"
        self.fields = ["Content-Type: application/json", 'ETag: "7"']
        self.body = ITEMS
        self.arrived = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.url = ""
        self.clients = set()

    async def __call__(self, reader, writer):
        self.clients.add(writer)
        try:
            while True:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                self.arrived.release()
                await self.go_on.wait()
                lines = [*self.fields, f"Content-Length: {len(self.body)}"]
                head = f"HTTP/1.1 {self.status}\r\n" + "".join(f"{line}\r\n" for line in lines)
                writer.write(head.encode() + b"\r\n" + self.body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def cached(self, control="public, max-age=60"):
        self.fields.append(f"Cache-Control: {control}")

    def sent(self, name):
        """Return the lines of a field in the last request."""
        lines = [line.partition(": ") for line in self.heads[-1].split("\r\n")]
        return [value for key, _, value in lines if key.lower() == name]


@asynccontextmanager
async def opened(shop, port=0):
    server = await asyncio.start_server(shop, "127.0.0.1", port)
    shop.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        try:
            yield shop
        finally:
            shop.go_on.set()
            for client in shop.clients:
                client.close()


@pytest.fixture
async def shop():
    async with opened(Shop()) as shop:
        yield shop


@pytest.fixture
async def edge(start, shop):
    """A gateway whose orders are the shop's."""
    return await start(orders_url=shop.url)


async def until(condition):
    """Wait for something that nothing signals."""
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def raw(edge, target, *lines, method="GET"):
    """Return the head and the body of a response, undecoded."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    text = "".join(f"{line}\r\n" for line in ("Host: x", "Connection: close", *lines))
    writer.write(f"{method} {target} HTTP/1.1\r\n{text}\r\n".encode())
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head.decode().lower(), body


@pytest.mark.parametrize(("coding", "read"), [("gzip", gzip.decompress), ("zstd", zstd.decompress)])
async def test_a_change_follows_a_compressed_read(edge, shop, bearer, coding, read):
    """The tag that a client got for a compressed body is one that the service knows."""
    token = f"Authorization: {bearer['Authorization']}"
    head, body = await raw(edge, ORDERS, token, f"Accept-Encoding: {coding}, br")
    assert read(body) == ITEMS
    assert f"content-encoding: {coding}" in head
    assert f'etag: "7-{coding}"' in head
    assert "vary: accept, accept-encoding" in head
    assert shop.sent("accept-encoding") == ["identity"]
    await raw(edge, ORDERS, token, f'If-Match: "7-{coding}"', method="DELETE")
    assert shop.sent("if-match") == ['"7"']


async def test_a_copy_that_a_client_has_is_confirmed(edge, shop, bearer):
    token = f"Authorization: {bearer['Authorization']}"
    shop.status, shop.body = "304 Not Modified", b""
    known = 'If-None-Match: "7-gzip"'
    head, body = await raw(edge, ORDERS, token, "Accept-Encoding: gzip", known)
    assert shop.sent("if-none-match") == ['"7"']
    assert head.startswith("http/1.1 304")
    assert 'etag: "7-gzip"' in head
    assert body == b""


async def test_json_comes_as_xml_on_demand(edge, bearer):
    answer = await edge.http.get(ORDERS, headers=bearer | {"Accept": "application/xml"})
    assert answer.headers["content-type"] == "application/xml"
    root = ET.fromstring(answer.content)  # noqa: S314 - of this test's own JSON
    assert [item.findtext("id") for item in root.iter("i")] == [str(n) for n in range(100)]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", ORDERS, 401),
        ("PUT", PRODUCTS, 405),
        ("GET", "/nothing", 404),
        ("DELETE", "/docs", 405),
        ("GET", "/api/v1/users/me/export", 401),
        ("GET", "/api/v1/products/../x", 400),
        ("GET", "/api/v1/products?" + "x" * 33_000, 414),
    ],
    ids=lambda value: str(value)[:32],
)
async def test_the_gateways_own_problems_come_as_xml_too(edge, method, path, status):
    head, body = await raw(edge, path, "Accept: application/xml", method=method)
    assert head.startswith(f"http/1.1 {status} ")
    assert "content-type: application/problem+xml" in head
    root = ET.fromstring(body)  # noqa: S314 - of the gateway
    assert root.tag == "{urn:ietf:rfc:7807}problem"
    assert root.findtext("{urn:ietf:rfc:7807}status") == str(status)


@pytest.mark.parametrize("path", [ORDERS, "/nothing"])
async def test_a_problem_in_xml_has_no_body_for_head(edge, path):
    head, body = await raw(edge, path, "Accept: application/xml", method="HEAD")
    assert "content-type: application/problem+xml" in head
    assert body == b""


async def test_neither_json_nor_xml_is_406_before_the_service_is_asked(
    edge, shop, bearer, assert_problem
):
    answer = await edge.http.post(ORDERS, json={}, headers=bearer | {"Accept": "text/csv"})
    assert_problem(answer, 406, "not-acceptable")
    assert not shop.heads
    answer = await edge.http.get("/.well-known/jwks.json", headers={"Accept": "text/csv"})
    assert answer.status_code == 200, "a route that knows one form only sends it"


async def test_a_request_in_xml_is_for_the_service_to_reject(edge, shop, bearer):
    shop.status = "415 Unsupported Media Type"
    xml = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'
    headers = bearer | {"Content-Type": "application/xml"}
    assert (await edge.http.post(ORDERS, content=xml, headers=headers)).status_code == 415


# Copies.


async def test_a_public_read_asks_the_service_once(edge, shop):
    shop.cached()
    first = await edge.http.get(PRODUCTS, headers={"Cookie": "a=1", "X-Other": "1"})
    assert first.headers["cache-status"].startswith("gateway; fwd=uri-miss; fwd-status=200; stored")
    assert shop.sent("cookie") == shop.sent("x-other") == []
    for headers, form in (
        (PLAIN, "application/json"),
        ({"Accept-Encoding": "gzip"}, "application/json"),
        ({"Accept": "application/xml"}, "application/xml"),
    ):
        answer = await edge.http.get(PRODUCTS, headers=headers)
        assert answer.headers["cache-status"].startswith("gateway; hit; ttl=")
        assert answer.headers["content-type"] == form
        assert int(answer.headers["age"]) >= 0
    assert (await edge.http.head(PRODUCTS, headers=PLAIN)).headers["content-length"] == str(
        len(ITEMS)
    )
    assert len(shop.heads) == 1
    assert edge.metric("gateway_cache_requests_total", use="hit") == 4


async def test_a_read_with_a_body_neither_makes_nor_gets_a_copy(edge, shop):
    shop.cached()
    for asked, body in enumerate((b"{}", None, b"{}"), start=1):
        answer = await edge.http.request("GET", PRODUCTS, content=body)
        assert answer.status_code == 200
        assert len(shop.heads) == asked


async def test_fifty_at_once_are_one_request_to_the_service(edge, shop):
    shop.cached()
    shop.go_on.clear()
    sent = [asyncio.create_task(edge.http.get(PRODUCTS)) for _ in range(50)]
    await shop.arrived.acquire()
    await until(lambda: edge.metric("http_server_active_requests") == 50)
    shop.go_on.set()
    answers = await asyncio.gather(*sent)
    assert {answer.content for answer in answers} == {ITEMS}
    assert len(shop.heads) == 1


@pytest.mark.parametrize(("status", "asked"), [("201 Created", 3), ("409 Conflict", 2)])
async def test_a_change_that_passes_drops_the_copies_of_its_route(
    edge, shop, bearer, status, asked
):
    shop.cached()
    await edge.http.get(PRODUCTS)
    shop.status = status
    await edge.http.post(PRODUCTS, headers=bearer, json={})
    shop.status = "200 OK"
    assert (await edge.http.get(PRODUCTS)).status_code == 200
    assert len(shop.heads) == asked


async def test_if_the_client_of_the_one_request_leaves_another_asks(edge, shop):
    shop.cached()
    shop.go_on.clear()
    first = asyncio.create_task(edge.http.get(PRODUCTS))
    await shop.arrived.acquire()
    second = asyncio.create_task(edge.http.get(PRODUCTS))
    await edge.http.get("/.well-known/jwks.json")  # it has been read before this one's response
    first.cancel()
    await shop.arrived.acquire()
    shop.go_on.set()
    assert (await second).content == ITEMS


async def test_a_waiting_request_has_its_own_deadline(start, shop, assert_problem):
    edge = await start(orders_url=shop.url, seconds=0.3)
    shop.go_on.clear()
    answers = await asyncio.gather(*(edge.http.get(PRODUCTS) for _ in range(3)))
    for answer in answers:
        assert_problem(answer, 504, "gateway-timeout")


async def test_a_late_service_in_whose_place_an_old_copy_was_sent_is_not_waited_for(start, shop):
    edge = await start(orders_url=shop.url, seconds=2)
    shop.cached("public, max-age=0, stale-if-error=60")
    await edge.http.get(PRODUCTS, headers=PLAIN)
    shop.go_on.clear()
    answer = await edge.http.get(PRODUCTS, headers=PLAIN)
    assert (answer.status_code, answer.content) == (200, ITEMS)
    assert len(shop.heads) == 2
    assert edge.server.served(edge.route("orders")).pool.busy == 0


async def test_without_memory_nothing_is_kept(start, shop):
    edge = await start(orders_url=shop.url, cache_bytes=0)
    shop.cached()
    for _ in range(2):
        answer = await edge.http.get(PRODUCTS)
        assert "cache-status" not in answer.headers
    assert len(shop.heads) == 2


# Guards.


def retries(edge):
    return edge.metric("gateway_upstream_retries_total", service="orders")


async def test_a_service_that_comes_back_within_the_retries_fails_no_read(start):
    """Its port opens between the first attempt and the last."""
    port = free_port()
    edge = await start(orders_url=f"http://127.0.0.1:{port}")
    for number in range(20):  # the delays are random, and may be shorter than the server's start
        before = retries(edge)
        read = asyncio.create_task(edge.http.get(f"{PRODUCTS}?{number}"))
        await until(lambda before=before: retries(edge) > before)
        async with opened(Shop(), port):
            if (await read).status_code == 200:
                return
    pytest.fail("no read was sent again")


async def test_a_request_that_has_ended_is_not_tried_again(start, monkeypatch):
    monkeypatch.setattr("gateway.guards.guard.Guard.retry_delay", lambda *_, **__: 600)
    edge = await start(orders_url=f"http://127.0.0.1:{free_port()}", seconds=0.4)
    read = asyncio.create_task(edge.http.get(PRODUCTS))
    retry = None
    while retry is None:
        await asyncio.sleep(0)
        for exchange in edge.server.sweep.in_flight:
            retry = exchange._forwarding and exchange._forwarding._retry
    assert (await read).status_code == 504
    assert retry.cancelled()


async def test_a_service_that_fails_is_left_alone_and_tried_again(start, assert_problem):
    port = free_port()
    edge = await start(orders_url=f"http://127.0.0.1:{port}")
    for number in range(20):
        answer = await edge.http.get(f"{PRODUCTS}?{number}")
        assert_problem(answer, 503, "unavailable")
    assert edge.metric("gateway_upstream_breaker_state", service="orders") == 2
    shed = await edge.http.get(f"{PRODUCTS}?x")
    assert_problem(shed, 503, "unavailable")
    assert int(shed.headers["retry-after"]) >= 1
    assert edge.metric("gateway_upstream_shed_total", service="orders", reason="breaker") == 1
    assert (
        edge.metric("gateway_upstream_failures_total", service="orders", kind="unreachable") == 20
    )
    assert (await edge.http.get("/.well-known/jwks.json")).status_code == 200
    async with opened(Shop(), port), asyncio.timeout(10):
        while edge.metric("gateway_upstream_breaker_state", service="orders") != 0:
            await edge.http.get(f"{PRODUCTS}?y")
            await asyncio.sleep(0.02)
        assert (await edge.http.get(f"{PRODUCTS}?z")).status_code == 200


async def test_one_slow_service_never_starves_another(start, shop, bearer, assert_problem):
    edge = await start(orders_url=shop.url, upstream_concurrency=10, upstream_connections=4)
    shop.go_on.clear()
    held = [asyncio.create_task(edge.http.get(ORDERS, headers=bearer)) for _ in range(10)]
    await until(lambda: edge.metric("gateway_upstream_in_flight", service="orders") == 10)
    shed = await edge.http.get(ORDERS, headers=bearer)
    assert_problem(shed, 503, "unavailable")
    assert shed.headers["retry-after"] == "1"
    assert edge.metric("gateway_upstream_shed_total", service="orders", reason="concurrency") == 1
    async with asyncio.timeout(5):
        others = await asyncio.gather(
            *(edge.http.get("/api/v1/users/me", headers=bearer) for _ in range(20))
        )
    assert {answer.status_code for answer in others} == {200}
    shop.go_on.set()
    assert {answer.status_code for answer in await asyncio.gather(*held)} == {200}
    assert edge.metric("gateway_upstream_in_flight", service="orders") == 0


@pytest.mark.parametrize("status", ["404 Not Found", "429 Too Many", "500 Oh", "503 Busy"])
async def test_a_service_that_answers_is_no_service_that_fails(edge, shop, bearer, status):
    shop.status = status
    for _ in range(30):
        await edge.http.get(ORDERS, headers=bearer)
    assert len(shop.heads) == 30
    assert edge.metric("gateway_upstream_breaker_state", service="orders") == 0
