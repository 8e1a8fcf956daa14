"""uvicorn's WebSocket protocol, with a bound on the closing handshake."""

from typing import Any

from chassis.library_internals.uvicorn_websockets import WebSocketProtocol

CLOSE_SECONDS = 1.0


class BoundedWebSocketProtocol(WebSocketProtocol):
    """Closes the connection soon after its close frame, even if the client sends none back.

    RFC 6455 §7.1.1 allows a server to close at any time. uvicorn waits 10 s for the client's close
    frame, so a silent client would keep each connection open for 10 s longer.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as uvicorn's
        super().__init__(*args, **options)
        self.close_within(CLOSE_SECONDS)
