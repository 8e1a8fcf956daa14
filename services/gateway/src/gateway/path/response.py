"""The bytes of a response to the client: its head, and the framing of its body."""

from chassis.library_internals.uvicorn import STATUS_LINE
from gateway.exchange import FieldLines

_BODILESS = frozenset({204, 304})


class ResponseWriter:
    """Frames one response.

    Three framings: as many bytes as `Content-Length` says; chunks; or, for a client of HTTP/1.0,
    until the connection's end.

    Args:
        status: the status.
        fields: the service's fields to pass on, without those of the connection.
        head_only: whether the request was HEAD.
        http_10: whether the client's version is HTTP/1.0.

    Attributes:
        closes: whether only the connection's end ends the response.
    """

    __slots__ = ("_bodiless", "_chunked", "_fields", "_status", "closes")

    def __init__(self, *, status: int, fields: FieldLines, head_only: bool, http_10: bool) -> None:
        self._status = status
        self._fields = fields
        self._bodiless = head_only or status in _BODILESS
        sized = self._bodiless or any(name == b"content-length" for name, _ in fields)
        self._chunked = not sized and not http_10
        self.closes = not sized and http_10

    def head(self, common: bytes, more: FieldLines, *, keep_alive: bool) -> bytes:
        """Return the head.

        Args:
            common: the lines that every response carries.
            more: fields of this response that the service did not send.
            keep_alive: whether the connection stays open.
        """
        lines = [b"%b: %b\r\n" % line for line in self._fields]
        lines += [b"%b: %b\r\n" % line for line in more]
        if self._chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        if not keep_alive:
            lines.append(b"connection: close\r\n")
        return b"%b%b%b\r\n" % (STATUS_LINE[self._status], common, b"".join(lines))

    def part(self, data: bytes) -> bytes:
        """Return a part of the body, framed."""
        if self._bodiless:
            return b""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def end(self) -> bytes:
        """Return what ends the body."""
        return b"0\r\n\r\n" if self._chunked else b""
