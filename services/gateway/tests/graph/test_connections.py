"""A socket of graphql-transport-ws, whose client may be gone at any line."""

import asyncio
from typing import Any

import pytest
from starlette.websockets import WebSocket

from chassis.errors import DomainError, Unavailable
from gateway.graph.connections import Connection, SocketTerms
from gateway.graph.context import Terms
from gateway.graph.failures import refusal_of
from gateway.headers import RequestHead


class Gate:
    """Refuses each operation."""

    def __init__(self, error):
        self.error = error

    async def admit(self, *_):
        raise self.error


@pytest.mark.parametrize(
    "error", [Unavailable("no"), refusal_of(DomainError("no"), request_id="r")], ids=type
)
async def test_the_client_may_have_left_before_it_is_told_of_an_error(error):
    sent: list[str] = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message["type"])
        if message["type"] == "websocket.send":
            raise OSError

    client = WebSocket({"type": "websocket", "state": {}, "headers": []}, receive, send)
    await client.receive()
    await client.accept()
    terms = SocketTerms(
        terms=Terms(seconds=1, calls=1), init_seconds=1, idle_seconds=1, operations=1
    )
    gate: Any = Gate(error)
    executor: Any = None  # no operation gets so far
    connection = Connection(
        client=client, head=RequestHead(), gate=gate, executor=executor, terms=terms
    )
    message = {"type": "subscribe", "id": "1", "payload": {"query": "{ me { id } }"}}
    await connection._handle(message)
    [task] = connection._operations.values()
    await asyncio.wait([task])
    assert sent == ["websocket.accept", "websocket.send"]
    assert task.exception() is None
