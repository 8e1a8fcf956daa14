"""Media types of GraphQL over HTTP: what a client sends and accepts."""

from starlette.datastructures import Headers
from starlette.requests import Request

from chassis.wire_names import EVENT_STREAM, JSON
from gateway.errors import Refused

RESPONSE = "application/graphql-response+json"
_OFFERED = (RESPONSE, JSON, EVENT_STREAM)
_UTF_8 = frozenset({"", "utf-8", "utf8"})


def accepted(headers: Headers) -> str:
    """Return the media type of the response.

    It is the one with the highest weight; of equal ones that which comes first in `Accept`. What is
    not named by its own name is JSON, which each client can read.

    Raises:
        Refused: 406. The client accepts none of them.
    """
    ranges = [part for line in headers.getlist("accept") for part in line.split(",")]
    best, weight = (JSON, 1.0) if not any(part.strip() for part in ranges) else ("", 0.0)
    for part in ranges:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        kind = JSON if name in {"*/*", "application/*"} else name
        value = _weight(parameters)
        if kind in _OFFERED and value > weight:
            best, weight = kind, value
    if not best:
        message = f"The response can be {', '.join(_OFFERED)}. Accept one of them."
        raise Refused(406, message)
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def check_content_type(request: Request) -> None:
    """Raise Refused (415) unless the body is JSON in UTF-8.

    A page of another origin can send other types without asking first.
    """
    kind, *parameters = (
        part.strip() for part in request.headers.get("content-type", "").split(";")
    )
    charset = next(
        (one[8:].strip(' "').lower() for one in parameters if one.lower().startswith("charset=")),
        "",
    )
    if kind.lower() != JSON or charset not in _UTF_8:
        message = f"The body must be {JSON} in UTF-8. Send it with this Content-Type."
        raise Refused(415, message, headers={"Accept-Post": JSON})
