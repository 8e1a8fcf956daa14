"""Where a request goes when its service has moved, and whether it can be sent twice."""

import asyncio
import re
import socket
from contextlib import AsyncExitStack, ExitStack, contextmanager

import pytest
from aiohttp.abc import AbstractResolver
from prometheus_client import CollectorRegistry
from websockets.utils import accept_key

from chassis.errors import Unavailable
from gateway.errors import Refused
from gateway.pool import Call
from gateway.upstreams import open_upstreams
from testkit.certificates import Certificates

NAME = "orders.test"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
SAFE = ("GET", "HEAD", "OPTIONS")
CLOSE_1000 = b"\x88\x02\x03\xe8"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class MovingName(AbstractResolver):
    """Resolves to the next of several places each time, and to the last one from then on.

    A place is a port of this machine. None stands for a name server that does not respond.
    """

    def __init__(self, *places):
        self.places = list(places)
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        del port  # each place has its own port
        self.asked += 1
        place = self.places.pop(0) if len(self.places) > 1 else self.places[0]
        if place is None:
            message = "the name server does not answer"
            raise OSError(message)
        fields = {"hostname": host, "family": family, "proto": 0, "flags": 0}
        return [{"host": "127.0.0.1", "port": place, **fields}]

    async def close(self):
        pass


class Server:
    """Returns 200 with each request, except for requests whose connection it closes."""

    def __init__(self, *, drops=(), tls=None, host="127.0.0.1"):
        self.seen = []
        self._host = host
        self._tls = tls
        self.drops = set(drops)
        self.closed = asyncio.Event()
        self._writers = set()
        self._stack = ExitStack()
        self.port = 0

    async def __aenter__(self):
        server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._stack.callback(server.close)
        return self

    async def __aexit__(self, *_):
        self.stop()

    def stop(self):
        """Stop listening, and close the open connections."""
        self._stack.close()
        self.close_connections()

    def close_connections(self):
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.seen.append((head.split()[0].decode(), await _body(reader, head)))
                if len(self.seen) in self.drops:
                    break
                key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)
                writer.write(ANSWER if key is None else _switching(key[1].decode()))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        self._writers.discard(writer)
        writer.close()
        self.closed.set()


async def _body(reader, head):
    if b"chunked" not in head:
        found = re.search(rb"(?i)content-length: (\d+)", head)
        return await reader.readexactly(int(found[1])) if found else b""
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


def _switching(key):
    accept = accept_key(key).encode()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + CLOSE_1000
    )


@pytest.fixture
def dead():
    """Return a port where nothing listens, and nothing will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
async def server():
    async with Server() as server:
        yield server


@pytest.fixture
async def reach(settings):
    """Return the orders service as the gateway has it, under a name that moves."""
    async with AsyncExitStack() as stack:

        async def at(*places, **changes):
            name = MovingName(*places)
            own = settings.model_copy(update={"orders_url": f"http://{NAME}:80", **changes})
            registry = CollectorRegistry()
            opened = open_upstreams(own, registry, resolver=name)
            upstreams = await stack.enter_async_context(opened)
            return upstreams["orders"], name

        yield at


async def exchange(upstream, method="GET", body=None):
    async with asyncio.timeout(10):
        if isinstance(body, list):
            return await Streaming(upstream, method, body).status()
        return (await upstream.request(method, "/x", fields=[], body=body)).status


class Streaming(Call):
    """Sends a body in chunks, as an exchange does whose client has not sent all of it."""

    def __init__(self, upstream, method, parts):
        super().__init__(upstream.requests, method=method.encode(), has_body=True)
        self._upstream = upstream
        self._parts = parts
        self._line = f"{method} /x HTTP/1.1\r\n".encode()
        self._status = asyncio.get_running_loop().create_future()

    async def status(self):
        self.begin()
        return await self._status

    def on_connection(self, connection):
        connection.write(self._line + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in (*self._parts, b""):
            connection.write(b"%x\r\n%b\r\n" % (len(part), part))
        self.sent = True

    def on_head(self, status, _fields):
        self._answered = status

    def on_part(self, data):
        pass

    def on_parsed(self):
        pass

    def on_writable(self):
        pass

    def on_end(self):
        self._status.set_result(self._answered)

    def on_unreachable(self, error):
        del error
        self._status.set_exception(self._upstream.unreachable())

    def on_broken(self, error):
        del error
        self._status.set_exception(self._upstream.broken())


PARTS = [b"in ", b"parts"]


@pytest.mark.parametrize("method", METHODS)
async def test_a_request_that_finds_nobody_goes_to_the_names_new_address(
    reach, server, dead, method
):
    upstream, name = await reach(dead, server.port)
    assert await exchange(upstream, method) == 200
    assert [seen for seen, _ in server.seen] == [method]
    assert name.asked == 2


@pytest.mark.parametrize("body", [b"whole", "streamed"])
async def test_its_body_is_sent_whole_and_once(reach, server, dead, body):
    upstream, _ = await reach(dead, server.port)
    content = PARTS if body == "streamed" else body
    assert await exchange(upstream, "POST", content) == 200
    assert server.seen == [("POST", b"in parts" if body == "streamed" else body)]


async def test_a_known_address_is_not_trusted_once_nothing_listens_there(reach, server):
    async with Server() as before:
        upstream, name = await reach(before.port, server.port)
        assert await exchange(upstream) == 200
        assert name.asked == 1
        before.stop()
        await before.closed.wait()
    assert await exchange(upstream, "POST") == 200
    assert name.asked == 2
    assert server.seen == [("POST", b"")]


async def test_a_name_that_could_not_be_looked_up_is_asked_for_once_more(reach, server):
    upstream, name = await reach(None, server.port)
    assert await exchange(upstream, "POST") == 200
    assert name.asked == 2


async def test_an_address_that_does_not_respond_at_all_is_left(reach, server):
    with full_backlog() as silent:
        upstream, _ = await reach(silent, server.port, upstream_connect_timeout=0.2)
        assert await exchange(upstream, "POST") == 200


@pytest.mark.parametrize(("named", "answers"), [(NAME, True), ("other.test", False)])
async def test_a_service_behind_tls_must_prove_its_name(
    reach, tmp_path, monkeypatch, named, answers
):
    certificates = await asyncio.to_thread(Certificates, tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority_file()))
    async with Server(tls=certificates.server(named)) as server:
        upstream, _ = await reach(server.port, orders_url=f"https://{NAME}")
        if answers:
            assert await exchange(upstream, "POST", b"secret") == 200
            return
        with pytest.raises(Unavailable):
            await exchange(upstream, "POST", b"secret")
        assert not server.seen


async def test_a_websocket_goes_to_the_names_new_address(reach, server, dead):
    upstream, name = await reach(dead, server.port)
    async with asyncio.timeout(10):
        opened = await upstream.websocket("/x", fields=[], protocols=())
        assert (await opened.receive()).data == 1000
    assert len(server.seen) == 1
    assert name.asked == 2


@pytest.mark.parametrize("method", METHODS)
async def test_there_is_no_third_try(reach, server, dead, method):
    upstream, name = await reach(dead, dead, server.port)
    with pytest.raises(Unavailable, match=r"The service .* is unavailable"):
        await exchange(upstream, method)
    assert name.asked == 2
    assert not server.seen


@pytest.mark.parametrize("method", METHODS)
async def test_a_connection_that_the_service_closed_while_it_was_idle_is_not_used(reach, method):
    async with Server() as server:
        upstream, _ = await reach(server.port)
        await exchange(upstream)
        server.close_connections()
        await server.closed.wait()
        for _ in range(5):  # until the loop sees that the other side closed
            await asyncio.sleep(0)
        assert await exchange(upstream, method) == 200
        assert [seen for seen, _ in server.seen] == ["GET", method]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("method", SAFE)
async def test_a_safe_request_is_sent_again_when_its_connection_ends(reach, method, kept):
    async with Server(drops={2 if kept else 1}) as server:
        upstream, _ = await reach(server.port)
        if kept:
            await exchange(upstream)
        assert await exchange(upstream, method) == 200
        assert [seen for seen, _ in server.seen][-2:] == [method, method]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("method", "body"),
    [
        (method, body)
        for method in METHODS
        for body in (None, b"whole", "streamed")
        if method not in SAFE or body  # a body is not held, so none is there for a second time
    ],
)
async def test_any_other_request_is_sent_once_and_502_says_that_it_may_have_taken_effect(
    reach, method, body, kept
):
    async with Server(drops={2 if kept else 1}) as server:
        upstream, _ = await reach(server.port)
        if kept:
            await exchange(upstream)
        content = PARTS if body == "streamed" else body
        with pytest.raises(Refused, match="may have taken effect") as refused:
            await exchange(upstream, method, content)
        assert refused.value.status == 502
        assert [seen for seen, _ in server.seen] == ["GET"] * kept + [method]


@pytest.mark.parametrize("method", SAFE)
async def test_a_safe_request_is_sent_twice_at_most(reach, method):
    async with Server(drops={1, 2}) as server:
        upstream, _ = await reach(server.port)
        with pytest.raises(Refused):
            await exchange(upstream, method)
        assert len(server.seen) == 2


@contextmanager
def full_backlog():
    """Yield a port that neither accepts nor refuses connections."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
