"""The export of a person's data: the parts of all services as one document, whole or not at all."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chassis.cancellation import all_of
from chassis.errors import DomainError, Unavailable
from chassis.http.caching import NO_STORE
from chassis.http.context import path_of, request_id_of
from chassis.http.limits import MAX_EXPORT_BYTES
from chassis.wire_names import JSON
from gateway.addresses import Addresses
from gateway.admission import COUNTED, Admission, Admitted, ScopedRequest
from gateway.answers import answer_to
from gateway.bulkheads import Bulkheads
from gateway.disconnects import unless_gone
from gateway.errors import ClientGone, Refused
from gateway.exchange import UpstreamAnswer
from gateway.headers import Kinds, RequestHead, read_head
from gateway.opaque import text_of
from gateway.response_heads import response_fields
from gateway.routes import Route
from gateway.tracing import ROUTE, Traces
from gateway.upstream_heads import upstream_fields
from gateway.upstreams import Upstream

_OK = 200
# The reason is the caller's token or the amount of data, so waiting is no help.
_FOR_THE_CALLER = frozenset({401, 403, 409})
# A client that does not read leaves no more than some pieces in the server's buffer.
_PIECE_BYTES = 64 * 1024
_SERVED = ("GET", "HEAD")
_ALLOWED = ", ".join((*_SERVED, "OPTIONS"))
"""`Options` responds to OPTIONS. A request with this method that comes here is not served."""

log = structlog.get_logger(__name__)


class _PartRefused(Exception):
    """A service refused its part for a reason that the caller must know.

    Args:
        response: the service's response.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(f"status {response.status_code}")
        self.response = response


class Exports:
    """Serves a route whose response is merged from parts of all services.

    Args:
        upstreams: the services, by name.
        admission: decides whether a request may pass.
        addresses: finds the client's address.
        bulkheads: bound how many documents are in memory.
        traces: passes the trace on.
    """

    def __init__(
        self,
        *,
        upstreams: Mapping[str, Upstream],
        admission: Admission,
        addresses: Addresses,
        bulkheads: Bulkheads,
        traces: Traces,
    ) -> None:
        self._upstreams = upstreams
        self._admission = admission
        self._addresses = addresses
        self._kinds = Kinds()
        self._bulkheads = bulkheads
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        try:
            await self._serve(scope, receive, send)
        except ClientGone:
            return
        except _PartRefused as refused:
            refused.response.raw_headers += scope[COUNTED]
            await refused.response(scope, receive, send)
        except (Refused, DomainError) as error:
            await answer_to(Request(scope), error)(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        route: Route = scope[ROUTE]
        at = asyncio.get_running_loop().time() + route.timeout
        head = read_head(scope["headers"], self._kinds, version=scope["http_version"])
        request = ScopedRequest(scope, self._addresses)
        admitted = request.passed(await self._admission.admit(request, head, route))
        _check_method(scope)
        bulkhead = self._bulkheads.of(route)
        with nullcontext() if bulkhead is None else bulkhead.place(admitted.user_id):
            fields = self._upstream_fields(scope, head, admitted)
            parts = await unless_gone(self._parts(route.parts or "", fields, at), receive)
            await _send_document(parts, admitted.fields, send, at)

    def _upstream_fields(
        self, scope: Scope, head: RequestHead, admitted: Admitted
    ) -> list[tuple[str, str]]:
        """Return the fields of each request for a part: of the caller's, only the access token."""
        token = [field for field in head.fields if field[0] == b"authorization"]
        lines = upstream_fields(
            head.with_fields(token),
            origin=admitted.origin,
            scheme=scope["scheme"],
            request_id=request_id_of(scope),
        )
        baggage = [text_of(value) for value in head.baggage or ()]
        return [
            *((name.decode("latin-1"), text_of(value)) for name, value in lines),
            *self._traces.upstream_fields(scope, baggage),
        ]

    async def _parts(
        self, path: str, fields: list[tuple[str, str]], at: float
    ) -> Mapping[str, bytes]:
        """Return the parts of all services, by name; the first failure ends the other requests."""
        upstreams = self._upstreams
        parts = await all_of(_part(name, one, path, fields, at) for name, one in upstreams.items())
        return dict(zip(upstreams, parts, strict=True))


async def _part(
    name: str, upstream: Upstream, path: str, fields: list[tuple[str, str]], at: float
) -> bytes:
    """Return the part of one service.

    Raises:
        Unavailable: the service returned no part in time.
        _PartRefused: the service refused it for a reason that the caller must know.
    """
    try:
        async with asyncio.timeout_at(at):
            answer = await upstream.request(
                "GET", path, fields=fields, body=None, deadline=at, max_bytes=MAX_EXPORT_BYTES
            )
    except TimeoutError as error:
        upstream.timed_out()
        raise _missing(name) from error
    except (Refused, DomainError) as error:
        raise _missing(name) from error
    if answer.status in _FOR_THE_CALLER:
        response = Response(answer.body, status_code=answer.status)
        response.raw_headers = response_fields(answer.status, answer.fields)
        raise _PartRefused(response)
    if answer.status != _OK or not _is_json(answer):
        log.warning("part of an export missing", service=name, status=answer.status)
        raise _missing(name)
    return answer.body


def _is_json(answer: UpstreamAnswer) -> bool:
    kind = dict(answer.fields).get(b"content-type", b"")
    return kind.partition(b";")[0].strip().lower() == JSON.encode()


def _missing(name: str) -> Unavailable:
    message = (
        f"The service {name} returned no part of the export. An export without it would not be "
        "complete. Send the request again in a moment."
    )
    return Unavailable(message)


def _check_method(scope: Scope) -> None:
    if scope["method"] not in _SERVED:
        message = f"{path_of(scope)} does not accept {scope['method']}. Use one of: {_ALLOWED}."
        raise Refused(405, message, headers={"Allow": _ALLOWED})


def _pieces(content: Sequence[bytes]) -> Iterator[bytes]:
    for part in content:
        for start in range(0, len(part), _PIECE_BYTES):
            yield part[start : start + _PIECE_BYTES]


async def _send_document(
    parts: Mapping[str, bytes], fields: Sequence[tuple[bytes, bytes]], send: Send, at: float
) -> None:
    """Send the document, and abort the response if the client does not read it in time."""
    content: list[bytes] = []
    for name, part in parts.items():
        content += [b',"%b":' % name.encode() if content else b'{"%b":' % name.encode(), part]
    content.append(b"}")
    headers = [
        (b"content-type", JSON.encode()),
        (b"content-length", str(sum(map(len, content))).encode()),
        (b"cache-control", NO_STORE.encode()),
        *fields,
    ]
    try:
        async with asyncio.timeout_at(at):
            await send({"type": "http.response.start", "status": _OK, "headers": headers})
            for piece in _pieces(content):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
    except TimeoutError:
        log.warning("response aborted", error="the client did not read the export in time")
