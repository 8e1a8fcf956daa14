"""One connection to a service: it writes a request and parses the response."""

import asyncio
import select
from itertools import chain
from typing import TYPE_CHECKING, cast

import httptools

from chassis.heads import MAX_FIELDS_BYTES
from gateway.exchange import FieldLines
from gateway.pool.names import Address

if TYPE_CHECKING:
    from gateway.pool.call import Call
    from gateway.pool.pool import Pool

# The head of a response may be as large as that of a request; a little more for its first line.
_MAX_HEAD_BYTES = MAX_FIELDS_BYTES + 1024
# No head is counted as more than twice the bytes that arrived: a field has 4 bytes beside its name
# and its value, and is sent with 2 at least.
_SMALL_BYTES = _MAX_HEAD_BYTES // 2
_FIRST = 100
_SWITCHING = 101
_FIRST_FINAL = 200
_FRAMED_BY = frozenset({b"content-length", b"transfer-encoding"})
_CHUNKED = b"chunked"


class InvalidResponse(Exception):
    """The service sent what is no response, or one that the gateway does not accept."""


class UpstreamConnection(asyncio.Protocol):
    """A connection that carries one call at a time.

    States: idle (no call) → busy (a call has it) → idle again, or closed. A connection that
    receives data while it is idle, or more than one response for a request, is closed: the service
    and the gateway no longer agree where a response begins.

    Args:
        pool: the pool that opened it.
        address: the replica at its other end.

    Attributes:
        call: the call that has the connection; None while it is idle.
        heard: whether a byte arrived since the call took it.
        carried: whether it has carried a call before the present one.
        closed: whether it can carry no other call.
        writable: whether the service takes what is written.
        idle_since: when it became idle, in seconds of the pool's clock.
        retires_at: when it is closed once it is idle, so that calls reach new replicas.
    """

    __slots__ = (
        "_ended",
        "_fields",
        "_in_head",
        "_interim",
        "_keep",
        "_parser",
        "_poll",
        "_size",
        "_status",
        "_transport",
        "address",
        "call",
        "carried",
        "closed",
        "heard",
        "idle_since",
        "pool",
        "retires_at",
        "writable",
    )

    def __init__(self, pool: "Pool", address: Address) -> None:
        self.pool = pool
        self.address = address
        self.call: Call | None = None
        self.heard = False
        self.carried = False
        self.closed = False
        self.writable = True
        self.idle_since = 0.0
        self.retires_at = 0.0
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._parser = httptools.HttpResponseParser(self)
        self._fields: FieldLines = []
        self._status = 0
        self._size = 0
        self._interim = False
        self._in_head = True
        self._ended = False
        self._keep = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        connected = transport.get_extra_info("socket")
        if connected is not None:
            self._poll.register(connected.fileno(), select.POLLIN)

    def stale(self) -> bool:
        """Return whether the service has closed the idle connection, which the loop has not seen.

        One system call: for requests that can't be sent a second time.
        """
        return bool(self._poll.poll(0))

    def carry(self, call: "Call") -> None:
        """Carry `call` from now on, and let it write its request."""
        self.call = call
        self.heard = False
        self._fields = []
        self._size = 0
        self._interim = False
        self._in_head = True
        self._ended = False
        call.connection = self
        call.on_connection(self)

    def write(self, data: bytes) -> None:
        """Write a part of the request."""
        if self._transport is not None:
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Read no more of the response: the client does not take it."""
        if self._transport is not None and not self.closed:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read the response again."""
        if self._transport is not None and not self.closed:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close the connection at once; its call is told nothing."""
        self.closed = True
        self.call = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close the idle connection."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    # Called by the transport.

    def data_received(self, data: bytes) -> None:
        """Parse a part of the response."""
        call = self.call
        if call is None:
            self.abort()
            return
        self.heard = True
        if self._in_head:
            self._size += len(data)
        try:
            self._parser.feed_data(data)
            if self._in_head and self._size > _MAX_HEAD_BYTES:
                raise _too_large()
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, InvalidResponse) as error:
            self._fail(call, error)
            return
        if self._ended:
            self._release(call)
        elif self.call is call:
            call.on_parsed()

    def _fail(self, call: "Call", error: Exception) -> None:
        if self._ended:  # what follows the response is nobody's
            self._keep = False
            self._release(call)
        elif self.call is call:  # else the call ended within a callback
            self.abort()
            call.lose(error, heard=True)

    def _release(self, call: "Call") -> None:
        """Give the connection back before the response's end is passed on: another call waits."""
        if self.call is call:
            self.call = None
            self.carried = True
            if self._keep and call.sent and not self.closed:
                self.pool.release(self)
            else:
                self.close()
            call.ended = True
            call.on_end()

    def pause_writing(self) -> None:
        """Note that the service does not take what is written."""
        self.writable = False

    def resume_writing(self) -> None:
        """Tell the call that the service takes what is written."""
        self.writable = True
        if self.call is not None:
            self.call.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the call: a response without a length ends with the connection, others break off."""
        by_service = exc is None and not self.closed  # else it was lost, or the pool closed it
        self.closed = True
        self.pool.lost(self)
        call, self.call = self.call, None
        if call is None:
            return
        if by_service and not self._in_head and self._ends_with_connection():
            call.ended = True
            call.on_end()
        else:
            call.lose(exc or ConnectionError("the connection ended"), heard=self.heard)

    def _ends_with_connection(self) -> bool:
        return not any(name in _FRAMED_BY for name, _ in self._fields)

    # Called by the parser.

    def on_message_begin(self) -> None:
        """Note the beginning of a second response, which nobody asked for."""
        if self._ended:
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a field; trailers are dropped (RFC 9110 §6.5.1)."""
        if self._in_head:
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Pass the head on, unless the response is an interim one."""
        status = self._parser.get_status_code()
        self._status = status
        if status < _FIRST_FINAL:
            if status == _SWITCHING:
                message = "the service switches protocols, which nobody asked for"
                raise InvalidResponse(message)
            if status < _FIRST:
                message = f"the service sent the status {status}, which is not valid"
                raise InvalidResponse(message)
            return
        call = self.call
        if call is None or self._ended:
            message = "the service sent a second response"
            raise InvalidResponse(message)
        fields = self._fields
        if b"transfer-encoding" in dict(fields):
            _check_encoding(fields)
        if self._interim or self._size > _SMALL_BYTES:  # few responses pay for the exact sum
            _check_size(fields)
        self._in_head = False
        call.on_head(status, fields)
        if call.head_only:
            # The parser waits for the body that a response to GET would have.
            self._keep = self._parser.should_keep_alive()
            self._ended = True
            self._parser = httptools.HttpResponseParser(self)

    def on_body(self, data: bytes) -> None:
        """Pass on a part of the body."""
        call = self.call
        if call is not None:
            if self._ended:
                self._keep = False  # a body that a response to HEAD may not have
            else:
                call.on_part(data)

    def on_message_complete(self) -> None:
        """End the response, or wait for the final one after an interim one."""
        if self._status < _FIRST_FINAL:
            self._fields = []
            self._size = 0  # although a part of the final head may have arrived
            self._interim = True
        elif not self._ended:
            self._keep = self._parser.should_keep_alive()
            self._ended = True


def _check_encoding(fields: FieldLines) -> None:
    for name, value in fields:
        if name == b"transfer-encoding" and value.strip().lower() != _CHUNKED:
            message = "the service sent a Transfer-Encoding other than chunked"
            raise InvalidResponse(message)


def _check_size(fields: FieldLines) -> None:
    if 4 * len(fields) + sum(map(len, chain.from_iterable(fields))) > _MAX_HEAD_BYTES:
        raise _too_large()


def _too_large() -> InvalidResponse:
    return InvalidResponse(f"the head of the response has more than {_MAX_HEAD_BYTES} bytes")
