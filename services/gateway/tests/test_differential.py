"""Generated requests: what the gateway forwards is what an independent parser (h11) reads.

The gateway may reject more than h11 does. What it forwards, h11 must accept, and read in the same
way: method, target, fields after the hygiene, body.
"""

import asyncio

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.headers import Kinds, _Kind

PATH = b"/api/v1/notifications/unsubscribe"  # its service gets all fields and each read
POST_PATH = b"/api/v1/auth/token"
NAMES = (
    *(b"Accept", b"X-A", b"x-a", b"X_A", b"Cookie", b"TE", b"Upgrade", b"X-User-Id", b"Connection"),
    *(b"Content-Length", b"Transfer-Encoding", b"Host", b"Expect", b"Keep-Alive", b"Range"),
)
VALUES = (
    *(b"", b"1", b"5", b"05", b"+5", b"5, 5", b"chunked", b"gzip, chunked", b"identity", b"x"),
    *(b"close", b"keep-alive, X-A", b"a=1; __Host-b=2", b"\xe9", b"a\x00b", b"a\tb", b" padded "),
)
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4)
ENDS = st.sampled_from((b"\r\n", b"\r\n", b"\r\n", b"\n"))
CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"
BODIES = st.sampled_from((b"", b"hello", CHUNKED, b"0\r\n\r\n", CHUNKED.replace(b"5", b"5;x=y")))
VERSIONS = st.sampled_from((b"1.1", b"1.1", b"1.1", b"1.0", b"2.0"))


def read_by_h11(data):
    """Return what h11 takes the bytes to be: method, target, fields and body; None: no request."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
    connection.receive_data(data)
    connection.receive_data(b"")
    request, body = None, b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                return request, body
            else:
                return None
    except h11.RemoteProtocolError:
        return None


def passed(headers):
    """Return the fields that pass the gateway as they are, unless Connection names them."""
    kinds = Kinds()
    named = {
        part.strip().lower()
        for name, value in headers
        if name == b"connection"
        for part in value.split(b",")
    }
    return sorted(
        (name, value)
        for name, value in headers
        if kinds.get(name) is _Kind.PASSED and name not in named
    )


async def forwarded(port, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(1):
            await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, TimeoutError):
        return  # the gateway waits for the rest of a body, so it forwards nothing that is whole
    finally:
        writer.transport.abort()


@pytest.fixture
def received(gateway, service):
    """Return a function that sends bytes to the gateway, and returns what the service received."""

    async def send(data):
        service.requests.clear()
        await forwarded(gateway.port, data)
        return [seen for seen in service.requests if seen.whole]

    return send


async def test_what_is_forwarded_is_what_an_independent_parser_reads(received):
    examples = []

    @settings(
        max_examples=150,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(FIELDS, ENDS, BODIES, VERSIONS, st.booleans())
    def generate(fields, end, body, version, post):
        line = b"POST " + POST_PATH if post else b"GET " + PATH
        head = [line + b" HTTP/" + version, b"Host: x", *(b"%b: %b" % field for field in fields)]
        examples.append(end.join([*head, b"", b""]) + body)

    generate()
    accepted = 0
    for data in examples:
        for seen in (await received(data))[:1]:
            accepted += 1
            read = read_by_h11(data)
            assert read is not None, data
            request, body = read
            assert seen.method.encode() == request.method, data
            assert seen.path.encode() == request.target, data
            assert seen.body == body, data
            added = {"host", "content-length"}
            got = [(k.encode(), v.encode("utf-8", "surrogateescape")) for k, v in seen.headers]
            ours = passed([(k, v) for k, v in got if k.decode() not in added])
            own = {b"x-real-ip", b"x-request-timeout-ms", b"x-request-id"}
            assert [item for item in ours if item[0] not in own] == passed(request.headers), data
    assert accepted > 20, "the generator made too few valid requests"
