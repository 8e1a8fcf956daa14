"""The bytes of a response to the client: its head, and the framing of its body."""

from chassis.library_internals.uvicorn import STATUS_LINE
from gateway.exchange import FieldLines, lines_of

_BODILESS = frozenset({204, 304})
_PRIVATE = (b"cache-control", b"private, no-cache")


class ResponseWriter:
    """Frames one response.

    Three framings: as many bytes as `Content-Length` says; chunks; or, for a client of HTTP/1.0,
    until the connection's end.

    Args:
        status: the status.
        fields: the service's fields to pass on, without those of the connection.
        head_only: whether the request was HEAD.
        http_10: whether the client's version is HTTP/1.0.
        private: whether the response is one caller's. If the service says nothing about keeping it,
            only that caller's cache may, and it asks before each use. Otherwise a cache may guess
            how long it is fresh (RFC 9111 §4.2.2).

    Attributes:
        fields: the fields to pass on.
        chunked: whether the body is sent in chunks.
        closes: whether only the connection's end ends the response.
        framed: whether `part` changes a part of the body; most responses need no such call.
    """

    __slots__ = ("_bodiless", "_status", "chunked", "closes", "fields", "framed")

    def __init__(
        self, status: int, fields: FieldLines, *, head_only: bool, http_10: bool, private: bool
    ) -> None:
        self._status = status
        known = dict(fields)
        self.fields = fields
        if private and b"cache-control" not in known:
            self.fields = [*fields, _PRIVATE]
        self._bodiless = head_only or status in _BODILESS
        sized = self._bodiless or b"content-length" in known
        self.chunked = not sized and not http_10
        self.closes = not sized and http_10
        self.framed = self._bodiless or self.chunked

    def head(self, common: bytes, fields: FieldLines, *, keep_alive: bool) -> bytes:
        """Return the head.

        Args:
            common: the lines that every response carries.
            fields: all other fields but those of the connection.
            keep_alive: whether the connection stays open.
        """
        if self.chunked:
            fields.append((b"transfer-encoding", b"chunked"))
        if not keep_alive:
            fields.append((b"connection", b"close"))
        return b"%b%b%b\r\n" % (STATUS_LINE[self._status], common, lines_of(fields))

    def part(self, data: bytes) -> bytes:
        """Return a part of the body, framed."""
        if self._bodiless:
            return b""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data

    def end(self) -> bytes:
        """Return what ends the body."""
        return b"0\r\n\r\n" if self.chunked else b""
