"""The service behind all proxies that are compared: as small as an ASGI app can be.

`python -m bench.upstream PORT`; it also accepts the spans that the gateway exports.
"""

import sys
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from chassis.connections import raise_descriptor_limit

BODY = (
    b'{"id":"0199c3a5-6c1e-7d53-9f5e-4a2b7c9d1e0f","status":"placed","items":[{"product_id":'
    b'"0199c3a5-1b2c-7a41-8c3d-5e6f7a8b9c0d","name":"Manila rope, 20 m","quantity":2,'
    b'"unit_price":{"amount":3490,"currency":"EUR"}}],"total":{"amount":6980,"currency":"EUR"},'
    b'"version":1,"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}'
)
_START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(BODY)).encode()),
        (b"etag", b'"1"'),
    ],
}
_END: dict[str, Any] = {"type": "http.response.body", "body": BODY}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the same response to every request, and each WebSocket's messages back (ASGI)."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    while (await receive()).get("more_body", False):
        pass
    await send(_START)
    await send(_END)


def serve(application: Any, port: int) -> None:  # noqa: ANN401  # any form of ASGI app, as uvicorn has it
    """Serve on this port as the services do: uvloop, httptools, no log line."""
    raise_descriptor_limit()
    uvicorn.run(
        application,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="auto",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    serve(app, int(sys.argv[1]))
