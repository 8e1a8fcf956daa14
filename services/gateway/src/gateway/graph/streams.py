"""A response as server-sent events (the distinct connections mode of graphql-sse)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic_core import to_json
from starlette.types import Receive, Send

from chassis.errors import DomainError
from chassis.http.caching import NO_STORE
from chassis.wire_names import EVENT_STREAM
from gateway.disconnects import until_gone
from gateway.graph.calls import FeedClosed
from gateway.graph.execution import Response, refused
from gateway.graph.failures import GraphqlFeedReset, refusal_of

_HEARTBEAT_SECONDS = 15.0
_OK = 200
_COMPLETE = b"event: complete\ndata:\n\n"
_HEARTBEAT = b":\n\n"


class EventStream:
    """Sends the responses of one operation.

    Args:
        send: sends to the client.
        receive: receives from it.
        stopping: set when the process stops.
        fields: further fields of the response.
    """

    def __init__(
        self,
        *,
        send: Send,
        receive: Receive,
        stopping: asyncio.Event,
        fields: list[tuple[bytes, bytes]],
    ) -> None:
        self._send = send
        self._receive = receive
        self._stopping = stopping
        self._fields = fields

    async def send_one(self, content: Response) -> None:
        """Send the only response of a query or mutation."""
        await self._begin()
        await self._write(_next(content) + _COMPLETE, more=False)

    async def follow(self, events: AsyncGenerator[Response], *, request_id: str) -> None:
        """Send the response of each event, until the client leaves or the process stops.

        If the live feed ends for a reason that passes, or the process stops, the stream ends
        without `complete`: the client connects again.
        """
        await self._begin()
        sending = asyncio.create_task(self._send_all(events, request_id))
        stopping = asyncio.create_task(self._stopping.wait())
        leaving = asyncio.create_task(until_gone(self._receive))
        tasks = (sending, stopping, leaving)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            gone = leaving.done()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if not gone:
            await self._write(b"" if sending.cancelled() else sending.result(), more=False)

    async def _send_all(self, events: AsyncGenerator[Response], request_id: str) -> bytes:
        """Send all events, and return how the stream ends."""
        error: DomainError | None = None
        async with aclosing(events):
            try:
                await self._send_each(events)
            except FeedClosed as closed:
                if closed.problem is None:
                    return b""
                error = closed.problem
            except GraphqlFeedReset as reset:
                error = reset
        if error is None:
            return _COMPLETE
        return _next(refused(refusal_of(error, request_id=request_id))) + _COMPLETE

    async def _send_each(self, events: AsyncGenerator[Response]) -> None:
        waiting = asyncio.ensure_future(anext(events, None))
        try:
            while True:
                await asyncio.wait({waiting}, timeout=_HEARTBEAT_SECONDS)
                if not waiting.done():
                    await self._write(_HEARTBEAT)
                    continue
                content = waiting.result()
                if content is None:
                    return
                await self._write(_next(content))
                waiting = asyncio.ensure_future(anext(events, None))
        finally:
            waiting.cancel()
            await asyncio.wait({waiting})

    async def _begin(self) -> None:
        headers = [
            (b"content-type", EVENT_STREAM.encode()),
            (b"cache-control", NO_STORE.encode()),
            (b"vary", b"Accept"),
            *self._fields,
        ]
        await self._send({"type": "http.response.start", "status": _OK, "headers": headers})

    async def _write(self, part: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": part, "more_body": more})


def _next(content: Response) -> bytes:
    return b"event: next\ndata: " + to_json(content) + b"\n\n"
