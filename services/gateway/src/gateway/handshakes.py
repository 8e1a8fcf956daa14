"""uvicorn's WebSocket protocol, changed to reject handshakes with the gateway's problem documents.

The websockets library rejects some handshakes itself, as plain text, before the application sees
them.
"""

from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

import structlog
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import StatusLike

from chassis.library_internals.uvicorn import ASGISendEvent
from chassis.protocol import CommonFields
from chassis.raw_problems import Fields, raw_problem
from chassis.unanswered import failure_status
from chassis.websocket_protocol import BoundedWebSocketProtocol

_REFUSED = "The handshake is not valid. Send one as RFC 6455 §4.1 requires."

log = structlog.get_logger(__name__)


class Handshakes(BoundedWebSocketProtocol):
    """Rejects a handshake with a problem document, and adds the common fields to each response.

    Args:
        arguments: positional arguments of uvicorn's protocol.
        common_fields: returns the common fields; called once for each handshake.
        options: keyword arguments of uvicorn's protocol.
    """

    __slots__ = ("_common", "_common_fields", "_stopping")

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - uvicorn's own
        common_fields: CommonFields,
        **options: Any,  # noqa: ANN401 - uvicorn's own
    ) -> None:
        super().__init__(*arguments, **options)
        self._common_fields = common_fields
        self._common: Fields = []
        self._stopping = False
        self.refuse_with(self._reject)

    def handle_connect(self, event: Request) -> None:
        """Handle the handshake's request head."""
        fields = event.headers.raw_items()
        # Before websockets 17, bytes beyond ASCII are lone surrogates here. Replacing them does no
        # harm, since no common field is made from them.
        head = [
            (name.lower().encode(), value.encode("latin-1", "replace")) for name, value in fields
        ]
        self._common = self._common_fields(head)
        self.default_headers = [*self.default_headers, *self._common]
        super().handle_connect(event)

    def shutdown(self) -> None:
        """End the socket or the handshake, because the process is stopping."""
        self._stopping = True
        super().shutdown()

    def send(self, message: ASGISendEvent) -> Coroutine[Any, Any, None]:
        """Send a message of the application. Add the common fields if it rejects the handshake."""
        if message["type"] == "websocket.http.response.start":
            message["headers"] = [*message.get("headers", []), *self._common]
        return super().send(message)

    def _reject(self, status: StatusLike, text: str) -> Response:
        number = int(status)
        detail = text.strip() or _REFUSED
        if number == HTTPStatus.INTERNAL_SERVER_ERROR:
            number, detail = failure_status(stopping=self._stopping)
        problem = raw_problem(number, detail)
        log.info("handshake rejected", status=number, detail=detail, request_id=problem.request_id)
        fields = [*problem.fields, *self.default_headers]
        headers = Headers([(name.decode(), value.decode("latin-1")) for name, value in fields])
        return Response(number, HTTPStatus(number).phrase, headers, problem.body)
