"""A real listener with a chosen protocol, for tests at the level of bytes and connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from testkit.waiting import until


@asynccontextmanager
async def listening(app: Any, **options: Any) -> AsyncIterator[uvicorn.Server]:  # noqa: ANN401 - uvicorn's own
    """Serve `app` on a free port until the block ends, and yield the server.

    Args:
        app: any ASGI application.
        options: further options of `uvicorn.Config`; ``http`` and ``ws`` choose the protocols.
    """
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
        **options,
    )
    listener = config.bind_socket()
    config.port = listener.getsockname()[1]
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await until(lambda: server.started or running.done())
        yield server
    finally:
        server.should_exit = True
        await running
