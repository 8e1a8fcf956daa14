import asyncio

import pytest

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CLOSE = b"Connection: close\r\n"
LAST = REQUEST + CLOSE + b"\r\n"
WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def test_what_is_no_http_is_a_problem(exchange, problem_in):
    problem = problem_in(await exchange(b"nonsense\r\n\r\n"), 400)
    assert problem["type"].endswith("/bad-request")


async def test_a_url_may_have_32_kib(exchange, problem_in):
    fits = b"GET /" + b"x" * 32_767 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await exchange(fits)).startswith(b"HTTP/1.1 200 ")
    problem = problem_in(await exchange(fits.replace(b"/x", b"/xx", 1)), 414)
    assert problem["type"].endswith("/uri-too-long")


async def test_headers_may_have_32_kib_together(exchange, problem_in):
    def large(size):
        fields = b"Host: x\r\nConnection: close\r\n"
        return b"GET / HTTP/1.1\r\n%bX: %b\r\n\r\n" % (fields, b"x" * (size - len(fields) - 5))

    assert (await exchange(large(32_768))).startswith(b"HTTP/1.1 200 ")
    problem = problem_in(await exchange(large(32_769)), 431)
    assert problem["type"].endswith("/request-header-fields-too-large")


async def test_a_head_without_end_is_not_held(exchange, problem_in):
    problem_in(await exchange(REQUEST + b"X-A: " + b"x" * 65_600), 431)


async def test_a_head_that_does_not_come_ends_its_connection(exchange):
    assert await exchange() == b""
    assert await exchange(REQUEST) == b""


async def test_a_head_that_trickles_ends_its_connection(exchange):
    assert await exchange(b"GET / HTTP", b"/1.1\r\nHost:", pause=0.15) == b""


async def test_the_second_head_of_a_connection_is_awaited_no_longer(exchange):
    answer = await exchange(REQUEST + b"\r\n" + REQUEST)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_connection_that_rests_between_requests_stays(exchange):
    last = REQUEST + b"Connection: close\r\n\r\n"
    answer = await exchange(REQUEST + b"\r\n", last, pause=0.5)
    assert answer.count(b"HTTP/1.1 200") == 2


async def test_a_slow_body_is_not_taken_for_a_slow_head(exchange):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    answer = await exchange(head, b"a", b"b", pause=0.3)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"ab" in answer


@pytest.mark.parametrize(
    ("handshake", "status"),
    [
        (b"GET /?" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n" + WEBSOCKET, 414),
        (REQUEST + WEBSOCKET + b"X: " + b"x" * 9_000 + b"\r\n", 431),
        (REQUEST + WEBSOCKET + b"X: y\r\n" * 130, 431),
        (REQUEST + WEBSOCKET + b"Content-Length: 1\r\n", 400),
        (REQUEST.replace(b"GET", b"PUT") + WEBSOCKET, 400),
    ],
)
async def test_a_handshake_that_the_websocket_library_would_drop_gets_a_response(
    exchange, problem_in, handshake, status
):
    problem_in(await exchange(handshake + b"\r\n"), status)


async def test_a_handshake_is_accepted(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST + WEBSOCKET + b"\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")
        await asyncio.sleep(0.4)  # longer than a head may take
        assert not reader.at_eof()
    writer.close()


async def test_trailers_are_no_fields_of_the_request(exchange, app):
    chunked = POST + b"Transfer-Encoding: chunked\r\n" + CLOSE
    trailers = b"0\r\nX-User: admin\r\nHost: y\r\n\r\n"
    answer = await exchange(chunked + b"\r\n5\r\nhello\r\n" + trailers)
    assert answer.endswith(b"5\r\nhello\r\n0\r\n\r\n")
    names = [name for name, _ in app.scopes[0]["headers"]]
    assert names == [b"host", b"transfer-encoding", b"connection"]


async def test_trailers_without_end_are_not_held(exchange, problem_in):
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
    problem_in(await exchange(chunked, b"X: " + b"x" * 200_000, pause=0.05), 431)


async def test_many_requests_at_once_are_no_large_head(exchange):
    """A packet that ends in the middle of a small head held hundreds of requests before it."""
    one = REQUEST + b"X: " + b"x" * 1000 + b"\r\n\r\n"
    answer = await exchange(one * 600 + LAST)
    assert answer.count(b"HTTP/1.1 200 ") == 601


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (REQUEST + b"X: " + b"x" * 2_000_000, 431),
        (b"GET /" + b"x" * 2_000_000, 414),
        (POST + b"Expect: x\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 2_000_000, 417),
    ],
)
async def test_a_client_that_still_sends_gets_a_response_and_no_reset(
    exchange, problem_in, request_, status
):
    problem_in(await exchange(request_), status)
