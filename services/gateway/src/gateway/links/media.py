"""Whether a client gets JSON or XML (RFC 9110 §12.5.1)."""

from enum import Enum

from gateway.links.quality import weights_of


class Media(Enum):
    """The form of a response's document."""

    JSON = "json"
    XML = "xml"


_ANY, _ANY_APPLICATION = b"*/*", b"application/*"
_JSON, _XML = b"application/json", b"application/xml"
_PROBLEM_JSON, _PROBLEM_XML = b"application/problem+json", b"application/problem+xml"
_JSON_SUFFIX = b"+json"


def media_for(accept: bytes) -> Media | None:
    """Return the form that a client prefers; None if it accepts neither.

    The most specific element decides the weight of a type. Of equal weights JSON wins. Any JSON
    type that a client names, such as ``application/jwk-set+json``, counts as JSON: only the service
    knows which one it sends.
    """
    weights = weights_of(accept)
    if not weights:
        return Media.JSON
    rest = weights.get(_ANY_APPLICATION, weights.get(_ANY, 0.0))
    json = weights.get(_JSON)
    if json is None:
        named = [weight for name, weight in weights.items() if name.endswith(_JSON_SUFFIX)]
        json = max([rest, *named])
    xml = weights.get(_XML, rest)
    if json == 0 and xml == 0:
        return None
    return Media.XML if xml > json else Media.JSON


def media_of_problem(accept: bytes) -> Media:
    """Return the form of a problem document: the preferred one, or JSON if neither is accepted.

    A client that cannot read an error's document still reads its status.
    """
    weights = weights_of(accept)
    rest = weights.get(_ANY_APPLICATION, weights.get(_ANY, 0.0))
    json = max(weights.get(_JSON, rest), weights.get(_PROBLEM_JSON, rest))
    xml = max(weights.get(_XML, rest), weights.get(_PROBLEM_XML, rest))
    return Media.XML if xml > json else Media.JSON
