import asyncio

import psutil

from localservers import ValkeyServer
from localservers.ports import free_port


async def ask(server: ValkeyServer, *commands: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write("".join(f"{command}\r\n" for command in (*commands, "QUIT")).encode())
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_it_responds_is_bounded_persists_nothing_and_leaves_no_process(tmp_path):
    server = ValkeyServer(directory=tmp_path, port=free_port())
    await server.start()
    assert await ask(server, "PING") == b"+PONG\r\n+OK\r\n"
    assert b"\r\n67108864\r\n" in await ask(server, "CONFIG GET maxmemory")
    assert await ask(server, "SET k v") == b"+OK\r\n+OK\r\n"
    assert server.url == f"valkey://127.0.0.1:{server.port}/0"
    pid = server.pid
    assert pid is not None
    await server.stop()
    assert not psutil.pid_exists(pid)
    await server.start()
    assert await ask(server, "EXISTS k") == b":0\r\n+OK\r\n"
    await server.stop()
    assert {file.name for file in tmp_path.iterdir()} == {"valkey.log"}


async def test_one_left_over_is_ended_by_the_next_start(tmp_path, orphan, ended):
    port = free_port()
    pid = await orphan("ValkeyServer", directory=tmp_path, port=port)
    server = ValkeyServer(directory=tmp_path, port=port)
    await server.start()
    assert ended(pid)
    await server.stop()
