"""uvicorn's HTTP/1.1 protocol, with bounds on a request's head and problem documents for bad ones.

The parser alone would hold a head of any size, for any time, and what it can't parse would be
answered as plain text, before any middleware runs.
"""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from chassis.database.models import new_id

MAX_TARGET_BYTES = 32 * 1024
MAX_FIELDS_BYTES = 32 * 1024
_TYPE_PREFIX = "https://slipway.dev/problems/"

# The WebSocket library reads the head again, and answers nothing at all where these are exceeded.
_WEBSOCKET_LINE_BYTES = 8_000
_WEBSOCKET_FIELDS = 120

_PHRASES = {
    400: "Bad Request",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
}
_UNREADABLE = "the request is not valid HTTP/1.1: send it as RFC 9112 says"


class _HeadRefused(Exception):
    """Stops the parser; the status and the reason stand in the protocol."""


class BoundedProtocol(HttpToolsProtocol):
    """Refuses heads that are too large (414, 431), too slow, or ambiguous (400)."""

    head_seconds = 10.0
    _refusal: tuple[int, str] = (400, _UNREADABLE)
    _reading_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; what is held of a head that is not complete yet is bounded."""
        super().data_received(data)
        if not self._reading_head or self.transport.is_closing():
            return
        if self._head_timer is None:
            self._await_head()
        self._head_bytes += len(data)
        if self._head_bytes > MAX_TARGET_BYTES + MAX_FIELDS_BYTES:
            self._refusal = (431, f"the headers may have {MAX_FIELDS_BYTES} bytes at most")
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._reading_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Check the head before anything is done with it."""
        self._reading_head = False
        self._stop_waiting()
        self._check_size()
        names = {name for name, _ in self.headers}
        has_body = not names.isdisjoint((b"content-length", b"transfer-encoding"))
        upgrade = self.parser.should_upgrade()
        if upgrade and has_body:
            self._refuse(400, "a request to upgrade has no body")
        if b"transfer-encoding" in names and self.parser.get_http_version() == "1.0":
            self._refuse(400, "HTTP/1.0 has no Transfer-Encoding (RFC 9112 §6.1)")
        if upgrade and self._should_upgrade():
            self._check_websocket()
        super().on_headers_complete()
        if upgrade and not self._should_upgrade():
            # What came behind the head in the same packet is lost to the parser.
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """Answer what can't be served, as a problem document, and close the connection."""
        del msg
        self._stop_waiting()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(self._answer())
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()

    def _check_size(self) -> None:
        if len(self.url) > MAX_TARGET_BYTES:
            self._refuse(414, f"the URL may have {MAX_TARGET_BYTES} bytes at most")
        if sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_FIELDS_BYTES:
            self._refuse(431, f"the headers may have {MAX_FIELDS_BYTES} bytes at most")

    def _check_websocket(self) -> None:
        if self.parser.get_method() != b"GET":
            self._refuse(400, "a WebSocket is asked for with GET (RFC 6455 §4.1)")
        if len(self.url) > _WEBSOCKET_LINE_BYTES:
            self._refuse(414, f"the URL of a WebSocket may have {_WEBSOCKET_LINE_BYTES} bytes")
        longest = max(len(name) + len(value) for name, value in self.headers)
        if longest > _WEBSOCKET_LINE_BYTES or len(self.headers) > _WEBSOCKET_FIELDS:
            self._refuse(
                431,
                f"a WebSocket's handshake may have {_WEBSOCKET_FIELDS} headers of "
                f"{_WEBSOCKET_LINE_BYTES} bytes",
            )

    def _refuse(self, status: int, detail: str) -> None:
        self._refusal = (status, detail)
        raise _HeadRefused

    def _answer(self) -> bytes:
        status, detail = self._refusal
        phrase = _PHRASES[status]
        request_id = str(new_id())
        problem: dict[str, Any] = {
            "type": _TYPE_PREFIX + phrase.lower().replace(" ", "-"),
            "title": f"{phrase}.",
            "status": status,
            "detail": detail,
            "instance": "/",
            "request_id": request_id,
        }
        body = json.dumps(problem).encode()
        fields = (
            b"content-type: application/problem+json\r\ncache-control: no-store\r\n"
            b"connection: close\r\nx-request-id: %b\r\ncontent-length: %d\r\n\r\n"
        ) % (request_id.encode(), len(body))
        return STATUS_LINE[status] + fields + body

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_late)

    def _head_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
