#!/usr/bin/env bash
# fastapi 0.165.0: a path operation that yields Server-Sent Events (response_class
# EventSourceResponse) runs four events ahead of what is sent, because a task of its own iterates
# the generator into two buffers. So the code after `yield` does not mean that the event was sent.
# Here the client reads one event and then no more, and the generator has marked five as delivered:
# a client that resumes after the last marked event has lost four. The same generator as JSON Lines
# or in a StreamingResponse marks an event when the server asks for the next, so only what was sent.
# The documentation says that each yielded item is sent, and names no buffer; its only remark on
# buffering is a header that prevents that of proxies. Mark an event when the Last-Event-ID of a
# later request says that it arrived.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    fastapi==0.165.0 starlette==1.10.0 anyio==4.16.0
cat > "$work/show.py" <<'PY'
import asyncio
import json
from collections.abc import AsyncIterable

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse

app = FastAPI()
delivered = []


async def events():
    for number in range(1, 9):
        yield {"number": number}
        delivered.append(number)


@app.get("/events", response_class=EventSourceResponse)
async def server_sent_events() -> AsyncIterable[dict[str, int]]:
    async for event in events():
        yield event


@app.get("/lines")
async def json_lines() -> AsyncIterable[dict[str, int]]:
    async for event in events():
        yield event


@app.get("/stream")
async def stream():
    return StreamingResponse(json.dumps(event) + "\n" async for event in events())


async def request(path):
    """Be a server whose client reads one event and then no more, and disconnects after two seconds."""
    delivered.clear()
    sent, gone = [], asyncio.Event()
    body = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        if body:
            return body.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.body":
            if sent:
                await asyncio.Event().wait()
            sent.append(message["body"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"app")],
        "server": ("app", 80),
        "client": ("client", 1),
    }
    response = asyncio.create_task(app(scope, receive, send))
    await asyncio.sleep(2)
    gone.set()
    await asyncio.wait([response])
    response.exception()
    print(f"{path}: {len(sent)} event sent, marked as delivered: {delivered}")


for path in "/events", "/lines", "/stream":
    asyncio.run(request(path))
PY
"$work/venv/bin/python" -W ignore "$work/show.py" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
/events: 1 event sent, marked as delivered: [1, 2, 3, 4, 5]
/lines: 1 event sent, marked as delivered: [1]
/stream: 1 event sent, marked as delivered: [1]
SEEN
