"""Clients of a gateway that is the API's document, a script of responses, or a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from client import Backoff, Retries, SlipwayClient

from .documented import DocumentedApi
from .feeds import FeedServer

type Answer = httpx.Response | httpx.TransportError
type Script = Callable[..., SlipwayClient]

AT_ONCE = Backoff(first=0.0, most=0.0)


class Scripted(httpx.AsyncBaseTransport):
    """Gives its answers in turn, and keeps the requests. The last answer is given again."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self.authorizations: list[str | None] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.bodies.append(request.content)
        self.authorizations.append(request.headers.get("Authorization"))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, httpx.TransportError):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@asynccontextmanager
async def scripted(
    *answers: Answer, attempts: int = 4, deadline: float = 30
) -> AsyncIterator[tuple[SlipwayClient, Scripted]]:
    """Open a client whose server gives these answers; it waits for `Retry-After` alone."""
    transport = Scripted(*answers)
    retries = Retries(attempts=attempts, backoff=AT_ONCE)
    async with SlipwayClient(
        "http://gateway", transport=transport, retries=retries, deadline=deadline
    ) as client:
        yield client, transport


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve an app on a free port, and yield its address."""
    config = uvicorn.Config(app, port=0, log_level="warning", ws="websockets-sansio")
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    listener.listen()  # connections are queued from now on, even before the server runs
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@pytest.fixture
def documented() -> DocumentedApi:
    return DocumentedApi()


@pytest.fixture
async def typed(documented: DocumentedApi) -> AsyncIterator[SlipwayClient]:
    async with SlipwayClient("http://gateway", transport=documented) as client:
        yield client


@pytest.fixture
def feeds() -> FeedServer:
    return FeedServer()


@pytest.fixture
async def served(feeds: FeedServer) -> AsyncIterator[SlipwayClient]:
    async with serving(feeds.app) as url, SlipwayClient(url, timeout=2) as client:
        yield client
