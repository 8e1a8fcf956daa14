"""uvicorn's WebSocket protocol, bounded in its closing handshake and in its memory."""

import time
from typing import Any

from starlette.types import Receive, Scope, Send

from chassis.handover import EXTENSION, Handover
from chassis.lean_waits import LeanEvent, LeanQueue
from chassis.library_internals.uvicorn_websockets import WebSocketProtocol

CLOSE_SECONDS = 1.0


class BoundedWebSocketProtocol(WebSocketProtocol):
    """Closes the connection soon after its close frame, and forgets what an open socket needs not.

    RFC 6455 §7.1.1 allows a server to close at any time. uvicorn waits 10 s for the client's close
    frame, so a silent client would keep each connection open for 10 s longer.

    An app may hand an accepted socket over, see ``chassis.handover``.
    """

    __slots__ = ("_heard_at", "_served")

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as uvicorn's
        super().__init__(*args, **options)
        self._heard_at = time.monotonic()
        self.close_within(CLOSE_SECONDS)
        self.wait_with(LeanQueue(), LeanEvent(is_set=True))
        self._served = self.serve_by(self._serve)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client, and note when."""
        self._heard_at = time.monotonic()
        super().data_received(data)

    def heard_at(self) -> float:
        """Return when the client's last byte arrived."""
        return self._heard_at

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        handover = Handover(self.heard_at)
        scope["extensions"][EXTENSION] = handover
        await self._served(scope, receive, send)
        conversation = handover.take()
        if conversation is not None:
            self.forget_handshake()
            serving = conversation(receive, send)
            del scope, handover, conversation, receive, send  # nothing here outlives the handshake
            await serving
