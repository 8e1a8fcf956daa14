"""A whole response of a service, for the gateway's own requests."""

import asyncio
import time

from chassis.wire_names import REQUEST_TIMEOUT, raw_name
from gateway.exchange import FieldLines, UpstreamAnswer, lines_of
from gateway.pool.call import Broken, Call
from gateway.pool.connection import UpstreamConnection
from gateway.pool.pool import Pool

_TIMEOUT = raw_name(REQUEST_TIMEOUT)


class Unreachable(Exception):
    """No connection to the service could be opened; nothing was sent."""


def request_head(
    method: bytes,
    target: bytes,
    lines: bytes,
    *,
    deadline: float | None,
) -> bytes:
    """Return the head of a request, with the time that is left when it is written.

    Args:
        method: the request's method.
        target: path and query, as sent.
        lines: all fields but that of the deadline, as lines.
        deadline: when the caller stops to wait, in seconds of `time.monotonic`; None never.
    """
    if deadline is None:
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, lines)
    left = max(0, int((deadline - time.monotonic()) * 1000))
    return b"%b %b HTTP/1.1\r\n%b%b: %d\r\n\r\n" % (method, target, lines, _TIMEOUT, left)


class Fetch(Call):
    """One request whose response is read whole.

    It is begun by `answer`.

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
        super().__init__(pool, method=method, has_body=body is not None)
        self._method = method
        self._target = target
        self._fields = fields
        self._body = body
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._answer = UpstreamAnswer(status=0)
        self._parts = bytearray()
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def answer(self) -> UpstreamAnswer:
        """Send the request and return the response; a cancellation ends the request.

        Raises:
            Unreachable: nothing was sent.
            Broken: the service gave no valid response, or one that is too large.
        """
        self.begin()
        try:
            await self._end
        finally:
            self.cancel()
        self._answer.body = bytes(self._parts)
        return self._answer

    def on_connection(self, connection: UpstreamConnection) -> None:
        """Write the request."""
        body, lines = self._body or b"", lines_of(self._fields)
        if self._body is not None:
            lines += b"content-length: %d\r\n" % len(body)
        head = request_head(self._method, self._target, lines, deadline=self._deadline)
        connection.write(head + body)
        self.sent = True

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
            self.cancel()
            self._fail(Broken(f"the response has more than {self._max_bytes} bytes"))

    def on_parsed(self) -> None:
        """Do nothing until the end."""

    def on_end(self) -> None:
        """End the wait."""
        if not self._end.done():
            self._end.set_result(None)

    def on_unreachable(self, error: Exception) -> None:
        """Fail the wait."""
        unreachable = Unreachable(str(error))
        unreachable.__cause__ = error
        self._fail(unreachable)

    def on_broken(self, error: Broken) -> None:
        """Fail the wait."""
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self._end.done():
            self._end.set_exception(error)
