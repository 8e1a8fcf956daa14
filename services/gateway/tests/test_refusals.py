import asyncio
from datetime import timedelta

import pytest

DANGEROUS = [
    "/api/v1/products/../users",
    "/api/v1/products/..",
    "/api/v1/products/./1",
    "/api/v1/products/%2e%2e/users",
    "/api/v1/products/.%2E/users",
    "/api/v1/products/..;/users",
    "/api/v1/products//1",
    "//api/v1/products",
    "/api/v1/products/%2fusers",
    "/api/v1/products/%5c..%5cusers",
    "/api/v1/products/\\..\\users",
    "/api/v1/products/a%00",
    "/api/v1/auth/%2e%2e%2fusers/me",
]


@pytest.mark.parametrize("path", DANGEROUS)
async def test_a_path_that_could_leave_its_prefix_is_refused(gateway, service, path):
    status, _ = await raw_get(gateway.port, path)
    assert status == 400
    assert not service.requests


async def raw_get(port, path, headers=b""):
    """Send a path unchanged; HTTP clients would normalise it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (path.encode(), headers))
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1]), head
    finally:
        writer.close()


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api-key-exchanges",
        "/exports/me",
        "/api/v1/exports/me",
        "/healthz/live",
        "/healthz/ready",
        "/metrics",
        "/api/v1/productsx",
        "/api/v1/%70roducts",
        "/api/v1",
        "/API/v1/products",
    ],
)
async def test_what_no_route_names_reaches_no_service(
    gateway, service, bearer, path, assert_problem
):
    status, _ = await raw_get(gateway.port, path)
    assert status == 404
    assert_problem(
        await gateway.http.get(path.replace("%", "%25"), headers=bearer), 404, "not-found"
    )
    assert not service.requests


@pytest.mark.parametrize(
    ("method", "path", "public"),
    [
        ("POST", "/api/v1/users", True),
        ("GET", "/api/v1/users", False),
        ("PATCH", "/api/v1/users/me", False),
        ("POST", "/api/v1/auth/login", True),
        ("POST", "/api/v1/auth/token", True),
        ("POST", "/api/v1/auth/refresh", False),
        ("GET", "/api/v1/auth/sessions", False),
        ("GET", "/api/v1/api-keys", False),
        ("GET", "/.well-known/jwks.json", True),
        ("GET", "/api/v1/products", True),
        ("HEAD", "/api/v1/products/1", True),
        ("POST", "/api/v1/products", False),
        ("PUT", "/api/v1/products/1/stock", False),
        ("POST", "/.well-known/change-password", False),
        ("GET", "/api/v1/orders", False),
        ("GET", "/api/v1/notifications", False),
        ("GET", "/api/v1/notifications/ws", False),
        ("OPTIONS", "/api/v1/orders/1/unknown", False),
    ],
)
async def test_only_public_routes_want_no_token(gateway, service, bearer, method, path, public):
    answer = await gateway.http.request(method, path)
    assert answer.status_code == (200 if public else 401)
    assert len(service.requests) == (1 if public else 0)
    answer = await gateway.http.request(method, path, headers=bearer)
    assert answer.status_code == 200


async def test_the_response_to_no_token_says_how_to_send_one(gateway, assert_problem):
    answer = await gateway.http.get("/api/v1/orders")
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "value", ["Bearer x.y.z", "Basic eDp5", "Bearer", "bearer not a token", "x"]
)
async def test_a_bad_token_is_refused_here(gateway, service, value, assert_problem):
    answer = await gateway.http.get("/api/v1/orders", headers={"Authorization": value})
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert not service.requests


@pytest.mark.parametrize("path", ["/api/v1/orders", "/api/v1/notifications/stream"])
async def test_a_token_of_another_scheme_is_refused_here(
    gateway, service, tokens, path, assert_problem
):
    """Also where no token is required: what was sent must be valid."""
    answer = await gateway.http.get(path, headers={"Authorization": f"Basic {tokens.token()}"})
    assert_problem(answer, 401, "unauthenticated")
    assert not service.requests


async def test_an_expired_token_is_refused_here(gateway, service, tokens, assert_problem):
    old = tokens.token(lifetime=timedelta(seconds=-60))
    answer = await gateway.http.get("/api/v1/orders", headers={"Authorization": f"Bearer {old}"})
    assert "expired" in assert_problem(answer, 401, "unauthenticated")["detail"]
    assert not service.requests


async def test_a_declared_body_that_is_too_large_is_refused_at_once(
    gateway, service, bearer, assert_problem
):
    answer = await gateway.http.post(
        "/api/v1/orders", content=b"x" * (1024 * 1024 + 1), headers=bearer
    )
    assert_problem(answer, 413, "content-too-large")
    assert not service.requests


async def test_a_body_that_turns_out_too_large_is_never_whole_for_the_service(
    gateway, service, bearer, assert_problem
):
    async def parts():
        for _ in range(40):
            yield b"x" * 32_768

    answer = await gateway.http.post("/api/v1/orders", content=parts(), headers=bearer)
    assert_problem(answer, 413, "content-too-large")
    if service.requests:
        async with asyncio.timeout(5):
            await service.disconnected.wait()
        assert not service.last.whole


async def test_a_body_of_exactly_the_limit_passes(gateway, service, bearer):
    answer = await gateway.http.post("/api/v1/orders", content=b"x" * 1024 * 1024, headers=bearer)
    assert answer.status_code == 200
    assert len(service.last.body) == 1024 * 1024


async def test_a_url_that_is_too_long_is_refused(gateway, service, assert_problem):
    answer = await gateway.http.get("/api/v1/products?q=" + "x" * 33_000)
    assert_problem(answer, 414, "uri-too-long")
    assert not service.requests


async def test_headers_that_are_too_large_are_refused(gateway, service, assert_problem):
    answer = await gateway.http.get("/api/v1/products", headers={"X-Large": "x" * 33_000})
    assert_problem(answer, 431, "request-header-fields-too-large")
    assert not service.requests


@pytest.mark.parametrize(
    "field", [b"Authorization: Bearer \xff", b"Connection: \xff", b"Host: \xff"]
)
async def test_a_header_that_the_gateway_reads_must_be_text(gateway, service, field):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    host = b"" if field.startswith(b"Host") else b"Host: x\r\n"
    writer.write(b"GET /api/v1/products HTTP/1.1\r\n" + host + field + b"\r\n\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    assert not service.requests
