"""uvicorn's WebSocket protocol, in a module of its own because it needs `websockets`.

uvicorn documents neither a limit for the closing handshake, nor a way to reject an opening
handshake with a body other than plain text, nor a way to hold less memory for each socket.
"""

from typing import Any, Protocol

from starlette.types import ASGIApp
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Response
from websockets.typing import StatusLike


class Refusal(Protocol):
    """Makes the response that rejects a handshake."""

    def __call__(self, status: StatusLike, text: str) -> Response:
        """Return the response for a status and a reason."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol for one WebSocket connection.

    Its attributes have slots: see `HttpProtocol`.
    """

    __slots__ = (
        "app",
        "app_state",
        "asgi_version",
        "client",
        "close_sent",
        "close_timeout",
        "close_timer",
        "config",
        "conn",
        "connections",
        "curr_msg_data_type",
        "default_headers",
        "disconnected",
        "frames",
        "handshake_complete",
        "handshake_initiated",
        "initial_response",
        "last_ping_rtt",
        "logger",
        "loop",
        "pending_ping_payload",
        "ping_interval",
        "ping_sent_at",
        "ping_timeout",
        "ping_timer",
        "pong_timer",
        "queue",
        "read_paused",
        "request",
        "response",
        "root_path",
        "scheme",
        "scope",
        "server",
        "tasks",
        "transport",
        "writable",
    )

    def close_within(self, seconds: float) -> None:
        """Close the connection `seconds` after our close frame, even if the client sends none."""
        self.close_timeout = seconds

    def refuse_with(self, refusal: Refusal) -> None:
        """Reject handshakes with the response that `refusal` makes.

        websockets and uvicorn both call `reject` of the connection: websockets if a head is
        malformed, uvicorn if the application does not accept.
        """
        self.conn.reject = refusal  # type: ignore[method-assign]  # the only way to another body

    def wait_with(self, queue: Any, writable: Any) -> None:  # noqa: ANN401 - as asyncio's, leaner
        """Use a queue for received messages, and an event that says whether to write, of our own.

        Args:
            queue: has `put_nowait`, `get` and `empty` of asyncio's Queue.
            writable: has `set`, `clear` and `wait` of asyncio's Event; it is set.
        """
        self.queue = queue
        self.writable = writable

    def serve_by(self, app: ASGIApp) -> ASGIApp:
        """Serve the socket by `app`, and return the app that would have served it."""
        replaced, self.app = self.app, app
        return replaced  # type: ignore[no-any-return]  # uvicorn leaves the attribute untyped

    def forget_handshake(self) -> None:
        """Forget the request and its response, which uvicorn needs no more once it has accepted."""
        self.scope = {}  # type: ignore[typeddict-item]  # nothing reads it after the handshake
        del self.request, self.response
