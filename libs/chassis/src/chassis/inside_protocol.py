"""The HTTP/1.1 protocol of a service behind the gateway."""

from chassis.heads import GATEWAYS_BYTES, LIBRARY_FIELDS, LIBRARY_LINE_BYTES, MAX_FIELDS_BYTES
from chassis.protocol import BoundedProtocol


class InsideProtocol(BoundedProtocol):
    """Accepts every head that the gateway accepts, and the fields that the gateway adds."""

    __slots__ = ()

    max_fields_bytes = MAX_FIELDS_BYTES + GATEWAYS_BYTES
    max_websocket_fields = LIBRARY_FIELDS
    max_websocket_line = LIBRARY_LINE_BYTES - 32  # ": " or the rest of the request line, CR and LF
