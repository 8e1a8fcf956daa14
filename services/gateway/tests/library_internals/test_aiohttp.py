"""Canaries: aiohttp's requests have what `gateway.library_internals.aiohttp` relies on."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest
from aiohttp.http import StreamWriter
from multidict import CIMultiDict

from gateway.library_internals.aiohttp import HeadRequest
from testkit.library_internals import PrivateName


def name(owner, attribute, parameters=None):
    return PrivateName(
        library="aiohttp",
        owner=owner,
        name=attribute,
        parameters=parameters,
        used_by="gateway.library_internals.aiohttp",
    )


@pytest.mark.parametrize(
    "one",
    [
        name(aiohttp.ClientRequest, "update_headers", "self, headers"),
        name(aiohttp.ClientRequest, "send", "self, conn"),
        name(aiohttp.ClientRequest, "write_bytes", "self, writer, conn, content_length"),
        name(aiohttp.ClientRequest, "_continue"),
    ],
    ids=str,
)
def test_aiohttp_has(one):
    one.check()


async def test_a_writer_holds_the_head_until_something_is_written():
    protocol: Any = None  # nothing is written
    writer = StreamWriter(protocol, asyncio.get_running_loop())
    where = name(writer, "_headers_buf")
    where.check()
    await writer.write_headers("GET / HTTP/1.1", CIMultiDict(a="b"))
    found = writer._headers_buf
    assert found == b"GET / HTTP/1.1\r\na: b\r\n\r\n", where.look_at(f"is {found!r}")


class Replacing(HeadRequest):
    """Replaces a field's value, and records the order in which its hooks are called."""

    noted: Sequence[str] = ()

    def fields_taken(self, fields):
        self.noted = ["fields"]
        return fields

    def before_send(self, *, now):
        self.noted = [*self.noted, "send"]
        assert now <= self.loop.time()
        self.headers["x"] = "old"
        self.replacements = {b"old": b"new\xff"}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("body", [None, b"old"])
async def test_a_heads_bytes_can_be_replaced_and_the_bodys_are_not(method, body):
    received = asyncio.get_running_loop().create_future()

    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        received.set_result((head, await reader.readexactly(len(body or b""))))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with (
            aiohttp.ClientSession(request_class=Replacing) as session,
            session.request(method, url, data=body) as response,
        ):
            assert response.status == 204
            head, sent = await received
    where = name(aiohttp.ClientRequest, "write_bytes")
    assert b"\r\nx: new\xff\r\n" in head, where.look_at("is not called before the head is written")
    assert sent == (body or b"")
