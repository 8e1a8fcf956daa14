"""The client's side of an exchange: the response that it gets, as it is written."""

import socket
import struct
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from gateway.exchange import FieldLines
from gateway.path.request import RAW_ID, ProxiedRequest
from gateway.path.response import ResponseWriter
from gateway.routes import Auth, Route

if TYPE_CHECKING:
    from gateway.path.protocol import PathProtocol

_OK = 200
_RESET = struct.pack("ii", 1, 0)


class AnsweredRequest(ProxiedRequest, ABC):
    """A request and the bytes of its response. `Exchange` decides what they are.

    What arrives together is written together: `respond`, `write` and `end_body` only collect, and
    `flush` writes.

    Args:
        client: the connection that the request came on.
        route: its entry of the route table; None if there is none.
        method: like `raw_path`, `target` and `version`: see `ProxiedRequest`.
        keep_alive: whether the connection may be used again.

    Attributes:
        keep_alive: whether the connection stays open after the response.
        status: the status that was sent; 0 before.
        response_started: whether a part of the response was sent; `response_complete`: all of it.
        disconnected: whether nobody gets the response.
        extra: fields of the response that the service does not send.
    """

    __slots__ = (
        "_out",
        "_writer",
        "disconnected",
        "extra",
        "keep_alive",
        "response_complete",
        "response_started",
        "status",
    )

    def __init__(
        self,
        client: "PathProtocol",
        route: Route | None,
        method: bytes,
        raw_path: bytes,
        target: bytes,
        version: str,
        keep_alive: bool,
    ) -> None:
        super().__init__(client, route, method, raw_path, target, version)
        self.keep_alive = keep_alive
        self.status = 0
        self.response_started = False
        self.response_complete = False
        self.disconnected = False
        self.extra: FieldLines = []
        self._out: list[bytes] = []
        self._writer: ResponseWriter | None = None

    @property
    def _is_private(self) -> bool:
        """Whether the response is one caller's.

        A service may require a token below a prefix that is public: a path under `/products`.
        """
        if self.route is None:
            return False
        sent = self.head is not None and self.head.authorization is not None
        return sent or self.route.auth is not Auth.PUBLIC

    def respond(self, status: int, fields: FieldLines) -> None:
        """Begin the response.

        Args:
            status: the status.
            fields: the service's fields to pass on, or those of a response of the gateway itself.
        """
        route, head = self.route, self.head
        self._writer = writer = ResponseWriter(
            status,
            fields,
            head_only=self.raw_method == b"HEAD",
            http_10=self.version == "1.0",
            private=self._is_private,
        )
        if writer.closes:
            self.keep_alive = False
        self.status, self.response_started = status, True
        fields = [*writer.fields, *self.extra, (RAW_ID, self.request_id.encode())]
        origin = self.origin_field if head is None else head.origin
        client = self.client
        common = client.edge.common_lines.of(origin, client.server_state.default_headers)
        self._out.append(writer.head(common, fields, keep_alive=self.keep_alive))
        if status == _OK and route is not None and route.stream:
            self.on_stream()

    @abstractmethod
    def on_stream(self) -> None:
        """Take note that the response is a stream of events."""

    def write(self, data: bytes) -> None:
        """Add a part of the response's body."""
        writer = self._writer
        if writer is not None:
            self._out.append(writer.part(data) if writer.framed else data)

    def end_body(self) -> None:
        """Add what ends the response's body, and write all."""
        if self._writer is not None and self._writer.chunked:
            self._out.append(self._writer.end())
        self.flush()
        self.response_complete = True

    def flush(self) -> None:
        """Write what was added."""
        if self._out:
            self.client.transport.write(b"".join(self._out))
            self._out.clear()

    def cut(self) -> None:
        """Close the connection so that the client does not take the response for a whole one."""
        transport = self.client.transport
        if self._writer is None or not self._writer.closes:
            self.flush()
            transport.close()
            return
        # Only the connection's end ends the response. The kernel sends an end even if a transport
        # is aborted, unless the socket does not linger: then it sends a reset.
        connected = transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()

    def drop_unwritten(self) -> None:
        """Forget what was added and not written."""
        self._out.clear()
