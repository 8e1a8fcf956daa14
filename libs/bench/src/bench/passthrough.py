"""The simplest proxy that a team would write: FastAPI in front of httpx, no more.

`python -m bench.passthrough PORT UPSTREAM_URL`. It checks no token, counts no limit, writes
no log line and no span, and its pool is as large as the gateway's.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request, Response

from bench.upstream import serve

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_CONNECTIONS = 100
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding"})
_NOT_SENT = _HOP_BY_HOP | {"host", "content-length"}
_NOT_ANSWERED = _HOP_BY_HOP | {"content-length", "content-encoding", "date", "server"}


def create_app(upstream_url: str, transport: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """Make the app; `transport` is another way to the upstream, for tests."""
    client = httpx.AsyncClient(
        base_url=upstream_url,
        limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
        timeout=10,
        trust_env=False,
        transport=transport,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with client:
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.api_route("/{path:path}", methods=_METHODS)
    async def forward(request: Request) -> Response:
        answer = await client.send(
            client.build_request(
                request.method,
                httpx.URL(path=request.url.path, query=request.url.query.encode()),
                headers=[item for item in request.headers.items() if item[0] not in _NOT_SENT],
                content=await request.body(),
            )
        )
        fields = {k: v for k, v in answer.headers.items() if k not in _NOT_ANSWERED}
        return Response(answer.content, status_code=answer.status_code, headers=fields)

    return app


if __name__ == "__main__":
    serve(create_app(sys.argv[2]), int(sys.argv[1]))
