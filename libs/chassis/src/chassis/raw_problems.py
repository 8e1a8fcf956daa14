"""Problem documents (RFC 9457) for requests that end before the application can respond.

`chassis.http.problems` makes all others. It needs the request's scope, which these lack.
"""

import json
from dataclasses import dataclass
from http import HTTPStatus

from chassis.database.ids import new_id
from chassis.errors import Unavailable
from chassis.product import product
from chassis.wire_names import PROBLEM, REQUEST_ID, raw_name

type Fields = list[tuple[bytes, bytes]]

_TYPE_PREFIX = product().problem_base
# HTTPStatus phrases differ between Python versions. This one is part of a problem's type, which
# must not change.
_PHRASES = {
    414: "URI Too Long",
}
_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class RawProblem:
    """A response that closes its connection.

    Attributes:
        status: the HTTP status.
        request_id: the id to quote to support; it is in the fields, the body and the log.
        fields: the header fields of the response.
        body: the problem document, as JSON.
    """

    status: int
    request_id: str
    fields: Fields
    body: bytes


def raw_problem(status: int, detail: str) -> RawProblem:
    """Return the response for a bare HTTP status.

    Args:
        status: the HTTP status.
        detail: what was wrong, the rule, what to do.
    """
    request_id = str(new_id())
    name, title = _kind_of(status)
    problem = {
        "type": _TYPE_PREFIX + name,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": "/",
        "request_id": request_id,
    }
    body = json.dumps(problem).encode()
    fields = [
        (b"content-type", PROBLEM.encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
        (raw_name(REQUEST_ID), request_id.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    if status == _UNAVAILABLE:
        fields.append((b"retry-after", b"1"))
    return RawProblem(status, request_id, fields, body)


def _kind_of(status: int) -> tuple[str, str]:
    if status == _UNAVAILABLE:
        return Unavailable.name, Unavailable.title
    phrase = _PHRASES.get(status) or HTTPStatus(status).phrase
    return phrase.lower().replace(" ", "-"), f"{phrase}."
