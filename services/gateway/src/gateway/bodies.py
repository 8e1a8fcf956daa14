"""The body of a request on its way to a service: bounded, and never left half-sent as if whole."""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Message, Receive

from chassis.http.limits import MAX_BODY_BYTES
from gateway.errors import ClientGone, Refused
from gateway.headers import RequestHead

STALL_SECONDS = 10.0


class RequestBody:
    """Reads one body.

    Args:
        head: of the request.
        receive: of the connection (ASGI).

    Attributes:
        failure: why reading ended early. It is kept here, for a client library wraps it.
    """

    def __init__(self, *, head: RequestHead, receive: Receive) -> None:
        self.failure: Refused | ClientGone | None = None
        self._receive = receive
        self._received = 0
        self._more = head.has_body
        declared = head.content_length
        if declared is not None and declared > MAX_BODY_BYTES:
            raise _too_large()

    @property
    def complete(self) -> bool:
        """Whether all of it came, so that ``receive`` has only the disconnect left to tell."""
        return not self._more

    async def content(self) -> bytes | AsyncIterator[bytes] | None:
        """Give the body whole where it is there already, else as it comes; None: there is none.

        Raises:
            Refused: 413 or 408.
            ClientGone: the connection was closed.
        """
        if self.complete:
            return None
        first = await self._next()
        return self._rest(first) if self._more else first

    async def _rest(self, first: bytes) -> AsyncIterator[bytes]:
        try:
            yield first
            while self._more:
                yield await self._next()
        except (Refused, ClientGone) as failure:
            self.failure = failure
            raise

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                message = await self._receive()
        except TimeoutError as error:
            raise stalled() from error
        if message["type"] == "http.disconnect":
            raise ClientGone
        return self._counted(message)

    def _counted(self, message: Message) -> bytes:
        part: bytes = message.get("body", b"")
        self._received += len(part)
        if self._received > MAX_BODY_BYTES:
            raise _too_large()
        self._more = message.get("more_body", False)
        return part


def stalled() -> Refused:
    """Make the answer to a body that does not come."""
    detail = "the body did not come in time: send it again"
    return Refused(408, detail, headers={"Connection": "close"})


def _too_large() -> Refused:
    detail = f"the body may have {MAX_BODY_BYTES} bytes at most"
    return Refused(413, detail, headers={"Connection": "close"})
