"""The crowd keeps its sockets open, and reopens those that were closed."""

import asyncio

from websockets.asyncio.server import ServerConnection, serve

from bench.crowd import Crowd
from testkit.waiting import until


async def test_a_slow_head_is_sent_byte_by_byte_and_again_after_a_close() -> None:
    heads: list[bytes] = []

    async def close_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"bench\r\nx"))
        writer.close()

    async with await asyncio.start_server(close_early, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        crowd = Crowd(f"http://127.0.0.1:{port}", slow=2, silent=0, feed="/ws")
        async with crowd.held():
            await until(lambda: len(heads) >= 4)
    assert all(head.startswith(b"GET ") and b"\r\n\r\n" not in head for head in heads)


async def test_how_long_a_silent_socket_was_left_open_is_noted() -> None:
    received: list[object] = []

    async def close_soon(socket: ServerConnection) -> None:
        try:
            async with asyncio.timeout(0.2):
                received.append(await socket.recv())
        except TimeoutError:
            await socket.close()

    async with serve(close_soon, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        crowd = Crowd(f"http://127.0.0.1:{port}", slow=0, silent=2, feed="/ws")
        async with crowd.held():
            await until(lambda: len(crowd.closed_after) >= 3)
    assert received == []
    assert all(seconds > 0 for seconds in crowd.closed_after)
