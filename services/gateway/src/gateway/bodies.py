"""Read a request's body for a service: bounded in size, and never passed on cut short as whole."""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Message, Receive

from chassis.http.limits import MAX_BODY_BYTES
from gateway.errors import ClientGone, Refused
from gateway.headers import RequestHead

STALL_SECONDS = 10.0


class RequestBody:
    """Reads the body of one request.

    Args:
        head: the request's head.
        receive: the connection's ASGI receive.
        max_bytes: the size limit of the body.

    Attributes:
        failure: why reading ended early. It is kept here because aiohttp wraps the exception in
            one of its own.

    Raises:
        Refused: 413. The declared Content-Length exceeds `max_bytes`.
    """

    def __init__(
        self, *, head: RequestHead, receive: Receive, max_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self.failure: Refused | ClientGone | None = None
        self._receive = receive
        self._received = 0
        self._more = head.has_body
        self._max_bytes = max_bytes
        declared = head.content_length
        if declared is not None and declared > max_bytes:
            raise self._too_large()

    @property
    def complete(self) -> bool:
        """Whether the whole body has been read. ``receive`` can then return only the disconnect."""
        return not self._more

    async def content(self) -> bytes | AsyncIterator[bytes] | None:
        """Return the body: as bytes if one message held it, else as a stream. None if it has none.

        Raises:
            Refused: 413 or 408.
            ClientGone: the connection was closed.
        """
        if self.complete:
            return None
        first = await self._next()
        return self._rest(first) if self._more else first

    async def whole(self) -> bytes | None:
        """Return the whole body, or None if the request has none.

        Raises:
            Refused: 413 or 408.
            ClientGone: the connection was closed.
        """
        content = await self.content()
        if content is None or isinstance(content, bytes):
            return content
        return b"".join([part async for part in content])

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
        if self._received > self._max_bytes:
            raise self._too_large()
        self._more = message.get("more_body", False)
        return part

    def _too_large(self) -> Refused:
        detail = (
            f"The body is too large. This route accepts {self._max_bytes} bytes. Send a smaller "
            "body."
        )
        return Refused(413, detail, headers={"Connection": "close"})


def stalled() -> Refused:
    """Return the error for a body that did not arrive in time (408)."""
    detail = (
        f"The body did not arrive in time. A part of it may take {STALL_SECONDS:g} s. "
        "Send the request again."
    )
    return Refused(408, detail, headers={"Connection": "close"})
