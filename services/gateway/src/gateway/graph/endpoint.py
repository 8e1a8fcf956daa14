"""`POST` and `GET /graphql`: GraphQL over HTTP, with subscriptions as server-sent events."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import OperationType
from pydantic_core import from_json, to_json
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import Receive, Scope, Send

from chassis.auth.principal import NOT_AUTHENTICATED
from chassis.cancellation import all_of
from chassis.errors import DomainError, Malformed, Unauthenticated
from chassis.http.caching import NO_STORE
from chassis.http.context import request_id_of
from chassis.wire_names import EVENT_STREAM, JSON
from gateway.answers import answer_to
from gateway.disconnects import unless_gone
from gateway.errors import ClientGone, Refused
from gateway.graph.context import Context, Terms
from gateway.graph.execution import Executor, Request, Response, refused, request_of
from gateway.graph.failures import GraphqlLimitExceeded, OperationRefused, refusal_of
from gateway.graph.feed import Feed
from gateway.graph.gate import PATH, Caller, Gate
from gateway.graph.negotiation import RESPONSE, accepted, check_content_type
from gateway.graph.operations import Operation
from gateway.graph.streams import EventStream

_OK, _BAD_REQUEST = 200, 400
_ALLOWED = "GET, HEAD, POST, OPTIONS"
_JSON_PARAMETERS = frozenset({"variables", "extensions"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a request.

    Attributes:
        terms: those of each operation.
        body: the most bytes of a body.
        batch: the most operations of a request; 1 refuses arrays.
        cost: the most that all operations of a request may cost.
    """

    terms: Terms
    body: int
    batch: int
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchange:
    """One request and the way back to its client."""

    scope: Scope
    receive: Receive
    send: Send
    caller: Caller
    kind: str

    @property
    def request_id(self) -> str:
        return request_id_of(self.scope)

    async def answer(self, status: int, content: object) -> None:
        """Send a response as JSON."""
        kind = RESPONSE if self.kind == EVENT_STREAM else self.kind
        response = HttpResponse(
            to_json(content),
            status_code=status,
            media_type=f"{kind}; charset=utf-8",
            headers={"Cache-Control": NO_STORE, "Vary": "Accept"},
        )
        response.raw_headers += self.caller.answer_fields
        await response(self.scope, self.receive, self.send)

    async def refuse(self, error: OperationRefused) -> None:
        """Send the response for an operation that is not executed."""
        tolerant = self.kind == JSON and error.well_formed
        await self.answer(_OK if tolerant else _BAD_REQUEST, refused(error))


class Endpoint:
    """Serves GraphQL over HTTP.

    Args:
        gate: admits callers and calls services.
        executor: executes operations.
        limits: the limits of a request.
        stopping: set when the process stops; it ends streams.
    """

    def __init__(
        self, *, gate: Gate, executor: Executor, limits: Limits, stopping: asyncio.Event
    ) -> None:
        self._gate = gate
        self._executor = executor
        self._limits = limits
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        try:
            await self._serve(scope, receive, send)
        except ClientGone:
            return
        except (Refused, DomainError) as error:
            await answer_to(HttpRequest(scope), error)(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(scope)
        head = self._gate.head(scope)
        caller = await self._gate.admit(scope, head)
        if request.method not in {"GET", "POST"}:
            message = f"{PATH} does not accept {request.method}. Use one of: {_ALLOWED}."
            raise Refused(405, message, headers={"Allow": _ALLOWED})
        exchange = _Exchange(
            scope=scope,
            receive=receive,
            send=send,
            caller=caller,
            kind=accepted(request.headers),
        )
        body = b""
        if request.method == "POST":
            check_content_type(request)
            body = await self._gate.body(head, receive, self._limits.body)
        try:
            parameters = _of_query(request) if request.method == "GET" else _json(body)
            operations = self._read(parameters, exchange.request_id)
            self._check(operations, exchange.kind, request.method)
            await self._respond(operations, exchange, is_batch=isinstance(parameters, list))
        except OperationRefused as error:
            await exchange.refuse(error)
        except Malformed as error:
            refusal = refusal_of(error, request_id=exchange.request_id, well_formed=False)
            await exchange.refuse(refusal)

    def _read(self, parameters: object, request_id: str) -> list[Operation]:
        batch = parameters if isinstance(parameters, list) else [parameters]
        most = self._limits.batch
        if isinstance(parameters, list) and (most == 1 or not 1 <= len(batch) <= most):
            detail = f"The array has {len(batch)} operations, and may have 1 to {most}. "
            detail += "Send one operation without an array." if most == 1 else "Send fewer."
            raise GraphqlLimitExceeded(detail, limit="batch", most=most)
        requests = [_request(one) for one in batch]
        return [self._executor.read(one, request_id=request_id) for one in requests]

    def _check(self, operations: list[Operation], kind: str, method: str) -> None:
        kinds = {operation.kind for operation in operations}
        if method == "GET" and OperationType.MUTATION in kinds:
            message = "A mutation can't be sent with GET. Send it with POST."
            raise Refused(405, message, headers={"Allow": "POST"})
        if kind != EVENT_STREAM and OperationType.SUBSCRIPTION in kinds:
            message = f"A subscription needs `Accept: {EVENT_STREAM}`, or a WebSocket."
            raise Refused(406, message)
        if len(operations) == 1:
            return
        if kinds != {OperationType.QUERY} or kind == EVENT_STREAM:
            message = (
                "An array may have queries only, and its response is JSON. Send one operation."
            )
            raise Malformed(message)
        cost = sum(operation.cost for operation in operations)
        if cost > self._limits.cost:
            most = self._limits.cost
            message = f"The operations cost {cost} together, and may cost {most}. Ask for less."
            raise GraphqlLimitExceeded(message, limit="cost", most=most)

    async def _respond(
        self, operations: list[Operation], exchange: _Exchange, *, is_batch: bool
    ) -> None:
        if exchange.kind == EVENT_STREAM:
            await self._stream(operations[0], exchange)
        elif is_batch:
            await exchange.answer(_OK, await self._unless_gone(operations, exchange))
        else:
            [content] = await self._unless_gone(operations, exchange, strict=True)
            await exchange.answer(_OK, content)

    async def _unless_gone(
        self, operations: list[Operation], exchange: _Exchange, *, strict: bool = False
    ) -> list[Response]:
        context = self._context(exchange)  # one for all operations: they share what they read
        runs = [self._run(one, context, strict=strict) for one in operations]
        return await unless_gone(all_of(runs), exchange.receive)

    async def _run(self, operation: Operation, context: Context, *, strict: bool) -> Response:
        """Return the response; with `strict`, raise OperationRefused if it was not executed."""
        try:
            return await self._executor.run(operation, context)
        except OperationRefused as error:
            if strict:
                raise
            return refused(error)

    def _context(self, exchange: _Exchange, feed: Feed | None = None) -> Context:
        return Context(
            calls=self._gate,
            fields=exchange.caller.fields,
            terms=self._limits.terms,
            request_id=exchange.request_id,
            feed=feed,
        )

    async def _stream(self, operation: Operation, exchange: _Exchange) -> None:
        caller = exchange.caller
        feed = Feed(feeds=self._gate, fields=caller.fields, token=caller.token)
        context = self._context(exchange, feed)
        stream = EventStream(
            send=exchange.send,
            receive=exchange.receive,
            stopping=self._stopping,
            fields=caller.answer_fields,
        )
        with self._gate.stream():
            if operation.kind is OperationType.SUBSCRIPTION:
                if caller.token is None:
                    raise Unauthenticated(NOT_AUTHENTICATED)
                events = await self._executor.follow(operation, context)
                await stream.follow(events, request_id=exchange.request_id)
            else:
                await stream.send_one(await self._run(operation, context, strict=True))


def _of_query(request: HttpRequest) -> Mapping[str, Any]:
    parameters: dict[str, Any] = dict(request.query_params)
    for name in _JSON_PARAMETERS & parameters.keys():
        parameters[name] = _json(parameters[name]) if parameters[name] else None
    return parameters


def _json(text: str | bytes) -> object:
    try:
        parsed: object = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        message = f"The JSON can't be read: {error}. Correct it."
        raise Malformed(message) from error
    return parsed


def _request(parameters: object) -> Request:
    if not isinstance(parameters, dict):
        message = "The parameters are not a JSON object. Send one with the member `query`."
        raise Malformed(message)
    try:
        return request_of(parameters)
    except ValueError as error:
        message = f"The parameters are not valid: {error}. Correct them."
        raise Malformed(message) from error
