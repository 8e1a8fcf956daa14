#!/usr/bin/env bash
# aiohttp 3.14.5: if the server closes the connection without a response, the client sends a PUT or
# DELETE a second time by itself, even if the connection was opened for this request. So the server
# can receive a request twice that its caller made once. A POST is sent once. PUT and DELETE are
# idempotent by RFC 9110 §9.2.2. But a server that closes because it is overloaded gets the load
# twice, and a proxy that counts attempts gets a wrong count.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check aiohttp==3.14.5
cat > "$work/show.py" <<'PY'
import asyncio

import aiohttp


async def requests_seen(method):
    seen = []

    async def close(reader, writer):
        seen.append((await reader.readline()).split()[0].decode())
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with aiohttp.ClientSession() as session:
            try:
                await session.request(method, f"http://127.0.0.1:{port}/", data=b"x")
            except aiohttp.ClientError as error:
                return len(seen), type(error).__name__


async def main():
    for method in ("POST", "PUT", "DELETE", "GET"):
        number, error = await requests_seen(method)
        print(f"{method}: {number} request(s), then {error}")


asyncio.run(main())
PY
"$work/venv/bin/python" "$work/show.py" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
POST: 1 request(s), then ServerDisconnectedError
PUT: 2 request(s), then ServerDisconnectedError
DELETE: 2 request(s), then ServerDisconnectedError
GET: 2 request(s), then ServerDisconnectedError
SEEN
