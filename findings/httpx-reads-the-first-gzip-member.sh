#!/usr/bin/env bash
# httpx 0.28.1: of a response with Content-Encoding: gzip, httpx returns the first member of the gzip
# stream, and drops the others without an error. RFC 1952 §2.2 defines a gzip file as a series of
# members, and RFC 9110 §8.4.1.3 the coding as that format. Members are what a server sends that
# compresses chunk by chunk, or that joins files that are compressed already, as logs and exports
# are. requests 2.34.2 and aiohttp 3.14.5 return the whole body, for the same response with the same
# correct Content-Length. So a move from requests to httpx shortens a CSV export to its first part,
# with status 200. httpx's documentation says that gzip responses are decoded, with no exception.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    httpx==0.28.1 requests==2.34.2 urllib3==2.8.0 aiohttp==3.14.5
cat > "$work/show.py" <<'PY'
import asyncio
import gzip
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import aiohttp
import httpx
import requests

PARTS = [f"order {number}\n".encode() for number in (1, 2, 3)]
BODY = b"".join(gzip.compress(part) for part in PARTS)
assert gzip.decompress(BODY) == b"".join(PARTS)


class Export(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


async def by_aiohttp(url):
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.text()


async def by_httpx_stream(url):
    async with httpx.AsyncClient() as client, client.stream("GET", url) as response:
        return "".join([text async for text in response.aiter_text()])


server = HTTPServer(("127.0.0.1", 0), Export)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
for name, text in {
    "requests": requests.get(url).text,
    "aiohttp": asyncio.run(by_aiohttp(url)),
    "httpx": httpx.get(url).text,
    "httpx, stream": asyncio.run(by_httpx_stream(url)),
}.items():
    print(f"{name}: {text.splitlines()}")
PY
"$work/venv/bin/python" -W ignore "$work/show.py" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
requests: ['order 1', 'order 2', 'order 3']
aiohttp: ['order 1', 'order 2', 'order 3']
httpx: ['order 1']
httpx, stream: ['order 1']
SEEN
