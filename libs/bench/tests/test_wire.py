"""The load generator's HTTP: it sends valid requests, and rejects responses that it can't parse."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bench.wire import open_wire, post
from slipway.errors import SlipwayError

REQUEST = post("http://shop:80/orders", {"authorization": "Bearer t"}, b"{}")


@asynccontextmanager
async def answering(answer: bytes, seen: Callable[[bytes], None]) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(len(REQUEST)):
            seen(request)
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_a_request_is_written_out() -> None:
    assert REQUEST == (
        b"POST /orders HTTP/1.1\r\nhost: shop:80\r\ncontent-length: 2\r\n"
        b"authorization: Bearer t\r\n\r\n{}"
    )


async def test_a_connection_is_kept_for_the_next_request() -> None:
    seen: list[bytes] = []
    answer = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\none"
    async with answering(answer, seen.append) as url, open_wire(url) as wire:
        assert await wire.send(REQUEST, expect=201) == b"one"
        assert await wire.send(REQUEST, expect=201) == b"one"
        assert len(wire.idle) == 1
    assert seen == [REQUEST, REQUEST]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nlate", "503, not 201: late"),
        (b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n", "no Content-Length"),
    ],
    ids=["refused", "no-length"],
)
async def test_any_other_response_fails(answer: bytes, says: str) -> None:
    async with answering(answer, lambda _: None) as url, open_wire(url) as wire:
        with pytest.raises(SlipwayError, match=says):
            await wire.send(REQUEST, expect=201)
