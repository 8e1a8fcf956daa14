"""The fields that every response of a route has, whatever the service returned."""

from datetime import UTC, date, datetime, time
from email.utils import format_datetime

from gateway.exchange import FieldLines
from gateway.routes import Route


def standing_fields(route: Route) -> FieldLines:
    """Return the fields of a route. They are made once, at start.

    They are `Deprecation` (RFC 9745), `Sunset` (RFC 8594), their `Link`, and the `Vary` of what
    clients negotiate: without it, a cache in front would give one client the form of another.
    """
    fields: FieldLines = []
    if route.represented and not (route.stream or route.websocket):
        fields.append((b"vary", b"accept, accept-encoding"))
    if route.deprecated is None:
        return fields
    began = _midnight(route.deprecated)
    fields.append((b"deprecation", f"@{int(began.timestamp())}".encode()))
    if route.sunset is not None:
        fields.append((b"sunset", format_datetime(_midnight(route.sunset), usegmt=True).encode()))
    targets = (
        (route.deprecation_notice, 'rel="deprecation"; type="text/html"'),
        (route.successor, 'rel="successor-version"'),
    )
    links = [f"<{target}>; {relation}" for target, relation in targets if target is not None]
    if links:
        fields.append((b"link", ", ".join(links).encode()))
    return fields


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
