"""The corpus of raw exchanges: each row is sent at once, and again byte by byte."""

import asyncio
import math
from contextlib import suppress

import h11
import pytest

from .answers import ANSWERS
from .bodies import BODIES
from .cases import KEPT, Reply, get
from .heads import HEADS
from .pipelines import PIPELINES

CORPUS = (*HEADS, *BODIES, *ANSWERS, *PIPELINES)
LEAST = 200
OK = Reply(data=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
PROBE = get("Connection: close", path="/probe")
_PIECES = 2_000  # larger requests are sent in so many pieces


class Scripted:
    """A service that reads requests with h11, and sends what the case says."""

    def __init__(self):
        self.url = ""
        self.begin(())

    def begin(self, replies):
        """Begin a case."""
        self.replies = list(replies)
        self.seen = []
        self.connections = []

    async def __call__(self, reader, writer):
        with suppress(ConnectionError):
            rest = b""
            while (rest := await self._serve(reader, writer, rest)) is not None:
                pass
        writer.close()

    async def _serve(self, reader, writer, rest):
        """Serve one request, and return the bytes that follow it; None: the connection ends."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
        if rest:  # for h11 no bytes mean the connection's end
            connection.receive_data(rest)
        request = await following(connection, reader)
        if request is None:
            return None
        reply = self.replies.pop(0) if self.replies else OK
        if reply.early:
            writer.write(reply.data)
            if reply.ends:
                return None
        body = b""
        while not isinstance(event := await following(connection, reader), h11.EndOfMessage):
            if event is None:
                return None  # a request that is not whole counts for nothing
            body += event.data
        seen = f"{request.method.decode()} {request.target.decode()}"
        self.seen.append(f"{seen} {body.decode()}" if body else seen)
        self.connections.append(writer)
        if not reply.early:
            writer.write(reply.data)
        return None if reply.ends else connection.trailing_data[0]


async def following(connection, reader):
    """Return the next event of a request; None: the connection has ended."""
    while (event := connection.next_event()) is h11.NEED_DATA:
        data = await reader.read(65536)
        if not data:
            return None
        connection.receive_data(data)
    return None if isinstance(event, h11.ConnectionClosed) else event


class Client:
    """A client that sends bytes, and reads responses with h11."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self._rest = b""
        self._ended = False
        self.heads = []

    def send(self, data, size):
        """Send bytes in pieces of `size`."""

        async def sending():
            with suppress(ConnectionError):
                for start in range(0, len(data), size):
                    self._writer.write(data[start : start + size])
                    await asyncio.sleep(0)

        return sending()

    async def response(self, *, head=False):
        """Return the next response: its status, and its body; `end` if there is none."""
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=200_000)
        method = "HEAD" if head else "GET"
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        connection.send(h11.EndOfMessage())
        if self._rest:
            connection.receive_data(self._rest)
        if self._ended:
            connection.receive_data(b"")
        status, body = "", b""
        try:
            while not isinstance(event := await self._event(connection), h11.EndOfMessage):
                if isinstance(event, h11.ConnectionClosed):
                    return "end"
                if isinstance(event, h11.Data):
                    body += event.data
                    continue
                status = str(event.status_code)
                self.heads.append(dict(event.headers))
                if isinstance(event, h11.InformationalResponse):
                    return status
        except h11.RemoteProtocolError as error:
            if status:
                return f"{status} cut"
            return "end" if self._ended and not self._rest else str(error)
        finally:
            self._rest = connection.trailing_data[0]
        return f"{status} {body.decode()}"

    async def _event(self, connection):
        while (event := connection.next_event()) is h11.NEED_DATA:
            await self._read(connection)
        return event

    async def _read(self, connection):
        data = b""
        with suppress(ConnectionError):
            data = await self._reader.read(65536)
        self._ended = not data
        connection.receive_data(data)


@pytest.fixture(scope="module")
async def scripted():
    service = Scripted()
    async with await asyncio.start_server(service, "127.0.0.1", 0) as server:
        service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield service


@pytest.fixture(scope="module")
async def raw_gateway(settings, running, scripted):
    """A gateway whose services are all the scripted one."""
    every = dict.fromkeys(("users_url", "orders_url", "notifications_url"), scripted.url)
    with pytest.MonkeyPatch.context() as patch:
        # So many rows of bad responses would open it, and it has tests of its own.
        patch.setattr("gateway.guards.breaker.MIN_RESULTS", math.inf)
        async with running(settings.model_copy(update=every)) as gateway:
            yield gateway


def matches(got, expected):
    """Return whether a response is the expected one, whose body may be left open."""
    return got == expected or got.split(" ")[0] == expected


def test_the_corpus_has_as_many_distinct_cases_as_it_promises():
    assert len({case.bytes_on_the_wire for case in CORPUS}) == len(CORPUS)
    assert len({case.name for case in CORPUS}) == len(CORPUS), "a name says which case failed"
    assert len(CORPUS) >= LEAST


@pytest.mark.parametrize(
    ("case", "pieces"),
    [(case, "at once") for case in CORPUS]
    + [(case, "byte by byte") for case in CORPUS if not case.at_once],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
async def test_an_exchange_is_as_its_row_says(raw_gateway, scripted, case, pieces):
    scripted.begin(case.replies)
    links = raw_gateway.server.served(raw_gateway.route("orders")).links
    links.changed()  # no row knows what the one before has told the cache
    size = len(case.send) if pieces == "at once" else max(1, len(case.send) // _PIECES)
    reader, writer = await asyncio.open_connection("127.0.0.1", raw_gateway.port)
    client = Client(reader, writer)
    try:
        async with asyncio.timeout(30):
            await client.send(case.send, size)
            got = []
            for number, _ in enumerate(case.got):
                one = await client.response(head=number in case.heads)
                if one == "100" and case.got[number] != one:
                    # Whether it comes depends on whether the body was there before.
                    one = await client.response()
                got.append(one)
                if case.late and number == 0:
                    await client.send(case.late, size)
            assert all(map(matches, got, case.got)), got
            await client.send(PROBE, len(PROBE))
            after = await client.response()
            assert after.split()[0] == ("404" if case.kept is KEPT else "end") or (
                got[-1].endswith(" cut")
            )
    finally:
        writer.transport.abort()
    assert tuple(scripted.seen) == case.seen
    if case.apart:
        assert len(set(scripted.connections)) == len(scripted.connections)
    if case.absent:
        assert case.absent not in {name for head in client.heads[: len(case.got)] for name in head}
