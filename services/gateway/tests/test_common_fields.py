"""Every response carries the common fields, whichever layer made it."""

import asyncio
from functools import partial

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from chassis.process import Protocols
from gateway.handshakes import Handshakes

ORIGIN = "https://shop.example"
COMMON = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=600; includeSubDomains",
    "access-control-allow-origin": ORIGIN,
}
NOWHERE = "http://127.0.0.1:1"
HEAD = b" HTTP/1.1\r\nHost: x\r\nOrigin: https://shop.example\r\n"
GET = b"GET /api/v1/products" + HEAD
POST = b"POST /api/v1/users" + HEAD
SOCKET = b"GET /api/v1/notifications/ws" + HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
VERSION = b"Sec-WebSocket-Version: 13\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


@pytest.fixture
async def browsed(start):
    """A gateway that allows a page of another origin."""
    return await start(
        cors_allow_origins=(ORIGIN,), hsts_max_age=600, seconds=0.5, notifications_url=NOWHERE
    )


def fields_in(answer):
    """Parse the head of a response; assert that each common field occurs only once."""
    lines = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    fields = [tuple(line.lower().split(": ", 1)) for line in lines[1:]]
    for name in COMMON:
        assert [key for key, _ in fields].count(name) == 1, (name, answer)
    return {name: ", ".join(value for key, value in fields if key == name) for name, _ in fields}


def assert_common(fields):
    for name, value in COMMON.items():
        assert fields[name].lower() == value.lower(), name
    assert "origin" in fields["vary"].lower()


async def exchange(port, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


CLOSE = b"Connection: close\r\n\r\n"
REFUSED = {
    "the parser's 400": (GET + b"Content-Length: x\r\n\r\n", 400),
    "an ambiguous head": (GET + b"Host: y\r\n\r\n", 400),
    "a broken body": (POST + b"Transfer-Encoding: chunked\r\n\r\nx", 400),
    "a dangerous path": (GET.replace(b"products", b"..") + CLOSE, 400),
    "a long URL": (GET.replace(b"products", b"products?" + b"x" * 33_000) + b"\r\n", 414),
    "a long URL for a socket": (
        SOCKET.replace(b"ws ", b"ws?" + b"x" * 9_000 + b" ") + b"\r\n",
        414,
    ),
    "large headers": (GET + b"X: " + b"x" * 33_000 + b"\r\n\r\n", 431),
    "an endless head": (GET + b"X: " + b"x" * 66_000, 431),
    "an expectation": (POST + b"Expect: x\r\nContent-Length: 1\r\n\r\n", 417),
    "a body that does not come": (POST + b"Content-Length: 5\r\n\r\nhel", 408),
    "a large body": (POST + b"Content-Length: 2000000\r\n" + CLOSE, 413),
    "a service's answer that is late": (GET.replace(b"products", b"products?hang") + CLOSE, 504),
    "no token": (GET.replace(b"products", b"orders") + CLOSE, 401),
    "a method": (GET.replace(b"GET", b"PUT") + CLOSE, 405),
    "an unknown path": (GET.replace(b"/api/v1/products", b"/nothing") + CLOSE, 404),
    "an unknown path of a socket": (SOCKET.replace(b"/ws", b"/x") + VERSION + KEY + b"\r\n", 404),
    "a socket without a key": (SOCKET + VERSION + b"\r\n", 400),
    "a socket with a bad key": (SOCKET + VERSION + b"Sec-WebSocket-Key: x\r\n\r\n", 400),
    "a socket without a version": (SOCKET + KEY + b"\r\n", 400),
    "a socket of another version": (SOCKET + KEY + b"Sec-WebSocket-Version: 8\r\n\r\n", 426),
    "a socket with a body": (SOCKET + VERSION + KEY + b"Content-Length: 1\r\n\r\nx", 400),
    "a socket by POST": (SOCKET.replace(b"GET", b"POST") + VERSION + KEY + b"\r\n", 400),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_carries_them(browsed, name):
    request, status = REFUSED[name]
    answer = await exchange(browsed.port, request)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    fields = fields_in(answer)
    assert_common(fields)
    assert fields["content-type"] == "application/problem+json"
    assert fields["x-request-id"].encode() in answer.partition(b"\r\n\r\n")[2]
    assert len(answer.split(b"\r\nDate: ".lower())) <= 2


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/api/v1/products", {}, 200),
        ("GET", "/docs", {}, 200),
        ("POST", "/docs", {}, 405),
        ("GET", "/api/v1/notifications", {"token": True}, 503),
        ("OPTIONS", "/api/v1/orders", {"Access-Control-Request-Method": "POST"}, 204),
        ("OPTIONS", "/api/v1/orders", {}, 204),
        ("OPTIONS", "/nothing", {"Access-Control-Request-Method": "POST"}, 204),
    ],
)
async def test_other_answers_do_too(browsed, bearer, method, path, more, status):
    headers = {"Origin": ORIGIN} | (bearer if more.pop("token", False) else {}) | more
    answer = await browsed.http.request(method, path, headers=headers)
    assert answer.status_code == status
    assert_common(answer.headers)
    for name in COMMON:
        assert len(answer.headers.get_list(name)) == 1, name


async def test_options_of_the_whole_server_gets_a_response(browsed):
    answer = await exchange(browsed.port, b"OPTIONS *" + HEAD + CLOSE)
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert_common(fields_in(answer))


async def test_a_socket_that_a_limit_refuses_carries_them(start):
    gateway = await start(
        cors_allow_origins=(ORIGIN,),
        hsts_max_age=600,
        slipway_limits="on",
        limit_default="1/minute",
    )
    async with connect(gateway.websocket_url, proxy=None, origin=Origin(ORIGIN)):
        pass
    with pytest.raises(InvalidStatus) as refused:
        async with connect(gateway.websocket_url, proxy=None, origin=Origin(ORIGIN)):
            pass
    response = refused.value.response
    assert response.status_code == 429
    assert_common({name.lower(): value for name, value in response.headers.raw_items()})
    assert response.headers["X-Request-ID"] in response.body.decode()


async def test_an_accepted_socket_carries_them(start):
    gateway = await start(cors_allow_origins=(ORIGIN,), hsts_max_age=600)
    async with connect(gateway.websocket_url, proxy=None, origin=Origin(ORIGIN)) as socket:
        assert socket.response is not None
        fields = socket.response.headers
        assert_common({name.lower(): value for name, value in fields.raw_items()})


async def test_a_request_without_origin_gets_the_other_fields(browsed):
    answer = await browsed.http.get("/api/v1/products", headers={"X": "x" * 33_000})
    assert answer.status_code == 431
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["vary"] == "Origin"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_any_origin_may_read_even_what_can_not_be_parsed(start):
    gateway = await start(cors_allow_origins=("*",))
    answer = await exchange(gateway.port, b"nonsense\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\naccess-control-allow-origin: *\r\n" in answer


HANDSHAKE = SOCKET + VERSION + KEY + b"\r\n"


async def test_a_handshake_whose_application_fails_is_500(serving):
    async def app(_scope, _receive, _send):
        message = "broken"
        raise RuntimeError(message)

    def common(_):
        return [(name.encode(), value.encode()) for name, value in COMMON.items()]

    protocols = Protocols(websocket=partial(Handshakes, common_fields=common))
    async with serving(app, lifespan="off", protocols=protocols) as port:
        answer = await exchange(port, HANDSHAKE)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"application/problem+json" in answer
    assert b"broken" not in answer
    fields_in(answer)
