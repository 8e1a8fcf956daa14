"""uvicorn's WebSocket protocol, in a module of its own because it needs `websockets`.

uvicorn documents neither a limit for the closing handshake, nor a way to reject an opening
handshake with a body other than plain text.
"""

from typing import Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Response
from websockets.typing import StatusLike


class Refusal(Protocol):
    """Makes the response that rejects a handshake."""

    def __call__(self, status: StatusLike, text: str) -> Response:
        """Return the response for a status and a reason."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol for one WebSocket connection."""

    def close_within(self, seconds: float) -> None:
        """Close the connection `seconds` after our close frame, even if the client sends none."""
        self.close_timeout = seconds

    def refuse_with(self, refusal: Refusal) -> None:
        """Reject handshakes with the response that `refusal` makes.

        websockets and uvicorn both call `reject` of the connection: websockets if a head is
        malformed, uvicorn if the application does not accept.
        """
        self.conn.reject = refusal  # type: ignore[method-assign]  # the only way to another body
