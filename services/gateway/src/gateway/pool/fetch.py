"""A whole response of a service, for the gateway's own requests."""

import asyncio
import time

from chassis.wire_names import REQUEST_TIMEOUT, raw_name
from gateway.exchange import FieldLines, UpstreamAnswer, lines_of
from gateway.pool.call import Broken, Call
from gateway.pool.pool import Pool

_TIMEOUT = raw_name(REQUEST_TIMEOUT)


class Unreachable(Exception):
    """No connection to the service could be opened; nothing was sent."""


def request_head(
    method: bytes,
    target: bytes,
    fields: FieldLines,
    *,
    deadline: float | None,
    framing: bytes,
    lines: bytes = b"",
) -> bytes:
    """Return the head of a request, with the time that is left when it is written.

    Args:
        method: the request's method.
        target: path and query, as sent.
        fields: all fields but those of the framing and the deadline.
        deadline: when the caller stops to wait, in seconds of `time.monotonic`; None never.
        framing: the lines that declare the body.
        lines: more fields, as lines.
    """
    if deadline is not None:
        left = max(0, int((deadline - time.monotonic()) * 1000))
        fields = [*fields, (_TIMEOUT, b"%d" % left)]
    return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (method, target, lines_of(fields), lines, framing)


class Fetch:
    """One request whose response is read whole.

    Args:
        pool: the service's connections.
        method: the request's method.
        target: path and query.
        fields: all fields but those of the framing and the deadline.
        body: the whole body; None for none.
        deadline: when the caller stops to wait; the service is told the time left.
        max_bytes: the largest body of the response.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        method: bytes,
        target: bytes,
        fields: FieldLines,
        body: bytes | None,
        deadline: float | None,
        max_bytes: int,
    ) -> None:
        self._method = method
        self._target = target
        self._fields = fields
        self._body = body
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._answer = UpstreamAnswer(status=0)
        self._parts = bytearray()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._call = Call(pool, self, method=method, has_body=body is not None)

    async def answer(self) -> UpstreamAnswer:
        """Send the request and return the response; a cancellation ends the request.

        Raises:
            Unreachable: nothing was sent.
            Broken: the service gave no valid response, or one that is too large.
        """
        self._call.begin()
        try:
            await self._ended
        finally:
            self._call.cancel()
        self._answer.body = bytes(self._parts)
        return self._answer

    def on_connection(self) -> None:
        """Write the request."""
        connection = self._call.connection
        assert connection is not None  # noqa: S101 - `Call.take` has just set it
        body = self._body
        framing = b"" if body is None else b"content-length: %d\r\n" % len(body)
        head = request_head(
            self._method, self._target, self._fields, deadline=self._deadline, framing=framing
        )
        connection.write(head + (body or b""))
        self._call.sent = True

    def on_writable(self) -> None:
        """Do nothing: the request was written at once."""

    def on_head(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Keep the head."""
        self._answer.status = status
        self._answer.fields = fields

    def on_part(self, data: bytes) -> None:
        """Keep a part of the body, or end the request if it is too large."""
        self._parts += data
        if len(self._parts) > self._max_bytes:
            self._call.cancel()
            self._fail(Broken(f"the response has more than {self._max_bytes} bytes"))

    def on_parsed(self) -> None:
        """Do nothing until the end."""

    def on_end(self) -> None:
        """End the wait."""
        if not self._ended.done():
            self._ended.set_result(None)

    def on_unreachable(self, error: Exception) -> None:
        """Fail the wait."""
        unreachable = Unreachable(str(error))
        unreachable.__cause__ = error
        self._fail(unreachable)

    def on_broken(self, error: Broken) -> None:
        """Fail the wait."""
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)
