"""Frames on the wire, as the Autobahn test suite tries them, through uvicorn as we run it."""

import asyncio
import base64
import json
import os
import struct
from contextlib import asynccontextmanager, suppress

import pytest

from chassis.database import new_id
from notifications.kinds.wiring import SCOPE

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PING_COMMAND = b'{"type":"ping","id":"\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82"}'
RESULT = {"type": "result", "id": "é€🙂", "data": {}}


def frame(opcode, payload=b"", *, fin=True, reserved=0, masked=True, length=None):
    """Return one frame; `length` overrides how its length is written (7, 16 or 64 bits)."""
    first = (0x80 if fin else 0) | (reserved << 4) | opcode
    mask_bit = 0x80 if masked else 0
    bits = length or (7 if len(payload) < 126 else 16 if len(payload) < 65536 else 64)
    if bits == 7:
        head = struct.pack("!BB", first, mask_bit | len(payload))
    elif bits == 16:
        head = struct.pack("!BBH", first, mask_bit | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, len(payload))
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(one ^ key[at % 4] for at, one in enumerate(payload))


def close(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


class Wire:
    """An authenticated socket, byte by byte."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def send(self, *frames):
        self.writer.write(b"".join(frames))
        await self.writer.drain()

    async def receive(self):
        """Return opcode and payload of the next frame; our heartbeat is none of the case."""
        async with asyncio.timeout(5):
            first, second = await self.reader.readexactly(2)
            assert first & 0x70 == 0, "a reserved bit is set"
            assert first & 0x80, "the server sends no fragments"
            assert second & 0x80 == 0, "a server's frame is masked"
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            return first & 0x0F, await self.reader.readexactly(size)

    async def message(self):
        opcode, payload = await self.receive()
        assert opcode == TEXT, (opcode, payload)
        return json.loads(payload)

    async def closed(self):
        """Return the code of the close frame, after which the connection ends."""
        while True:
            opcode, payload = await self.receive()
            if opcode == CLOSE:
                break
        async with asyncio.timeout(5):
            # The server resets a connection whose last bytes it has not read.
            with suppress(ConnectionResetError):
                assert await self.reader.read() == b""
        return struct.unpack("!H", payload[:2])[0] if payload else None


@pytest.fixture
def wire(server, tokens):
    @asynccontextmanager
    async def opened():
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            "GET /api/v1/notifications/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")
        wire = Wire(reader, writer)
        token = tokens.token(subject=new_id(), scopes=[SCOPE])
        await wire.send(frame(TEXT, json.dumps({"type": "auth", "token": token}).encode()))
        assert (await wire.message())["type"] == "ready"
        try:
            yield wire
        finally:
            writer.close()

    return opened


def pieces(payload, size):
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    last = len(parts) - 1
    return [frame(TEXT if at == 0 else CONT, part, fin=at == last) for at, part in enumerate(parts)]


# Cases of the suite by number; each ends with a result, so the socket has survived.
GOOD = {
    "1.1.1 one text": [frame(TEXT, PING_COMMAND)],
    "1.1.2 length in 16 bits": [frame(TEXT, PING_COMMAND, length=16)],
    "1.1.3 length in 64 bits": [frame(TEXT, PING_COMMAND, length=64)],
    "2.6 ping of 125 bytes": [frame(PING, b"x" * 125), frame(TEXT, PING_COMMAND)],
    "2.7 pong nobody asked for": [frame(PONG, b"x"), frame(TEXT, PING_COMMAND)],
    "2.8 pong without payload": [frame(PONG), frame(TEXT, PING_COMMAND)],
    "2.10 ten pings": [*(frame(PING, b"%d" % n) for n in range(10)), frame(TEXT, PING_COMMAND)],
    "5.3 two fragments": pieces(PING_COMMAND, 16),
    "5.5 fragments of one byte": pieces(PING_COMMAND, 1),
    "5.6 ping between fragments": [
        frame(TEXT, PING_COMMAND[:9], fin=False),
        frame(PING, b"between"),
        frame(CONT, PING_COMMAND[9:]),
    ],
    "5.8 pings between all fragments": [
        one for part in pieces(PING_COMMAND, 5) for one in (part, frame(PING, b"p"))
    ],
    "6.1.2 empty fragments": [
        frame(TEXT, b"", fin=False),
        frame(CONT, b"", fin=False),
        frame(CONT, PING_COMMAND, fin=False),
        frame(CONT, b""),
    ],
    "6.2.4 a character in two fragments": [
        frame(TEXT, PING_COMMAND[:22], fin=False),
        frame(CONT, PING_COMMAND[22:]),
    ],
}
# Each is closed with this code.
BAD = {
    "2.5 ping of 126 bytes": ([frame(PING, b"x" * 126, length=16)], 1002),
    "3.1 reserved bit 1": ([frame(TEXT, PING_COMMAND, reserved=4)], 1002),
    "3.3 reserved bit 2": ([frame(TEXT, PING_COMMAND, reserved=2)], 1002),
    "3.4 reserved bit 3": ([frame(TEXT, PING_COMMAND, reserved=1)], 1002),
    "3.7 reserved bit in a close": ([frame(CLOSE, b"", reserved=7)], 1002),
    "4.1.1 opcode 3": ([frame(3, b"x")], 1002),
    "4.1.5 opcode 7": ([frame(7, b"x")], 1002),
    "4.2.1 opcode 11": ([frame(11, b"x")], 1002),
    "4.2.5 opcode 15": ([frame(15, b"x")], 1002),
    "5.1 ping in fragments": ([frame(PING, b"x", fin=False)], 1002),
    "5.2 pong in fragments": ([frame(PONG, b"x", fin=False)], 1002),
    "5.9 continuation of nothing": ([frame(CONT, b"x")], 1002),
    "5.18 text within fragments": ([frame(TEXT, b"{", fin=False), frame(TEXT, b"}")], 1002),
    "6.3.1 invalid UTF-8": ([frame(TEXT, b'{"a":"\xce\xba\xed\xa0\x80"}')], 1007),
    "6.3.2 invalid UTF-8 in fragments": (
        [frame(TEXT, b'{"a":"\xf4', fin=False), frame(CONT, b'\x90\x80\x80"}')],
        1007,
    ),
    "6.4 character that is cut off": ([frame(TEXT, b'{"a":"\xe2\x82')], 1007),
    "6.6 overlong encoding": ([frame(TEXT, b"\xc0\xaf")], 1007),
    "1.2.1 binary": ([frame(BINARY, b"\xfe")], 4400),
    "9.1 message over 64 KiB": ([frame(TEXT, b"x" * 65_537)], 1009),
    "9.3 fragments over 64 KiB": (
        [frame(TEXT, b"x" * 40_000, fin=False), frame(CONT, b"x" * 40_000)],
        1009,
    ),
    "RFC 6455 5.1 unmasked": ([frame(TEXT, PING_COMMAND, masked=False)], 1002),
    "7.1.1 close without code": ([close()], None),
    "7.3.4 close with code and reason": ([close(1000, b"bye")], 1000),
    "7.3.6 close of one byte": ([frame(CLOSE, b"\x03")], 1002),
    "7.5.1 close with invalid UTF-8": ([close(1000, b"\xce\xba\xff")], 1007),
    "7.7.13 close with 4999": ([close(4999)], 4999),
    "7.9.1 close with 0": ([close(0)], 1002),
    "7.9.3 close with 1004": ([close(1004)], 1002),
    "7.9.4 close with 1005": ([close(1005)], 1002),
    "7.9.7 close with 2999": ([close(2999)], 1002),
}


@pytest.mark.parametrize("case", GOOD)
async def test_frames_that_are_valid_make_one_message(wire, case):
    frames = GOOD[case]
    async with wire() as socket:
        await socket.send(*frames)
        pongs = 0
        while (received := await socket.receive())[0] == PONG:
            pongs += 1
        assert json.loads(received[1]) == RESULT
        await socket.send(frame(TEXT, PING_COMMAND))
        while (received := await socket.receive())[0] == PONG:
            pongs += 1
        assert json.loads(received[1]) == RESULT
        assert pongs == sum(one[0] & 0x0F == PING for one in frames)


@pytest.mark.parametrize("case", GOOD)
async def test_frames_that_arrive_byte_by_byte_mean_the_same(wire, case):
    async with wire() as socket:
        for one in b"".join(GOOD[case]):
            await socket.send(bytes([one]))
        while (received := await socket.receive())[0] == PONG:
            pass
        assert json.loads(received[1]) == RESULT


@pytest.mark.parametrize("case", BAD)
async def test_frames_that_end_the_socket_end_it_with_their_code(wire, case):
    frames, code = BAD[case]
    async with wire() as socket:
        await socket.send(*frames)
        assert await socket.closed() == code


async def test_a_ping_is_answered_with_its_payload(wire):
    async with wire() as socket:
        await socket.send(frame(PING, b"\x00\xff payload"))
        assert await socket.receive() == (PONG, b"\x00\xff payload")


async def test_what_follows_a_close_is_ignored(wire):
    async with wire() as socket:
        await socket.send(close(1000), frame(TEXT, PING_COMMAND), frame(PING, b"x"))
        assert await socket.closed() == 1000


async def test_a_connection_that_is_cut_within_a_frame_leaves_nothing(wire, server, eventually):
    async with wire() as socket:
        await eventually(lambda: len(server.connections.places()) == 1)
        await socket.send(frame(TEXT, PING_COMMAND)[:9])
        socket.writer.transport.abort()
        await eventually(lambda: not server.connections.places())
