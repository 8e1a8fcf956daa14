#!/usr/bin/env bash
# asyncio of CPython 3.12 and 3.13 and uvloop 0.22.1: `transport.abort()` of a TCP connection does not
# reset it. With nothing left to send, the peer gets the same orderly end (FIN) as after `close()`.
# So a server that aborts a response whose end is the end of the connection, which HTTP/1.0 has and
# HTTP/1.1 allows, tells the client that the response is whole: httpx 0.28.1 returns the half of it
# without an error. Only a socket with SO_LINGER 0 is reset.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1 uvloop==0.22.1
cat > "$work/show.py" <<'PY'
import asyncio
import socket
import struct
from importlib.metadata import version

import httpx
import uvloop

HALF = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthe first half"


async def outcome(lingers):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HALF)
        await writer.drain()
        await asyncio.sleep(0.2)  # all of it is with the client
        if not lingers:
            connected = writer.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                response = await client.get(f"http://127.0.0.1:{port}/")
            except httpx.TransportError as error:
                return type(error).__name__
            return f"{response.status_code} {response.text!r}"


print("httpx", version("httpx"), "uvloop", version("uvloop"))
for name, factory in (("asyncio", asyncio.new_event_loop), ("uvloop", uvloop.new_event_loop)):
    with asyncio.Runner(loop_factory=factory) as runner:
        print(f"{name}, abort: {runner.run(outcome(lingers=True))}")
        print(f"{name}, abort with SO_LINGER 0: {runner.run(outcome(lingers=False))}")
PY
"$work/venv/bin/python" "$work/show.py" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
httpx 0.28.1 uvloop 0.22.1
asyncio, abort: 200 'the first half'
asyncio, abort with SO_LINGER 0: ReadError
uvloop, abort: 200 'the first half'
uvloop, abort with SO_LINGER 0: ReadError
SEEN
