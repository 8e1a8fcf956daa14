#!/usr/bin/env bash
# websockets 17.4: a server responds with 400 to a handshake with an unsupported
# Sec-WebSocket-Version. RFC 6455 §4.2.2 names 426 Upgrade Required, and requires a
# Sec-WebSocket-Version header with the versions that the server supports, so that a client can choose
# one. The response has no such header.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check websockets==17.4
cat > "$work/show.py" <<'PY'
import asyncio
import logging

from websockets.asyncio.server import serve

logging.disable()
HEAD = (
    "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 12\r\n\r\n"
)


async def main():
    async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD.encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        writer.close()
    print(head.splitlines()[0])
    print("names its versions:", "sec-websocket-version" in head)


asyncio.run(main())
PY
"$work/venv/bin/python" "$work/show.py" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
http/1.1 400 bad request
names its versions: False
SEEN
