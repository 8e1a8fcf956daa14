"""One socket of graphql-transport-ws: its messages, its operations, and how it ends."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from graphql import OperationType
from pydantic_core import from_json, to_json
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from chassis.auth.principal import NOT_AUTHENTICATED, Principal
from chassis.cancellation import guarded
from chassis.errors import DomainError, TooManyRequests, Unauthenticated
from chassis.http.context import request_id_of
from gateway.graph.calls import UNAUTHENTICATED, FeedClosed
from gateway.graph.context import Context, Terms
from gateway.graph.execution import Executor, Request, Response, request_of
from gateway.graph.failures import OperationRefused, refusal_of
from gateway.graph.feed import Feed
from gateway.graph.gate import Gate
from gateway.headers import RequestHead
from gateway.socket_bounds import SocketPlace

_NORMAL = 1000
_TRY_AGAIN_LATER = 1013
_BAD_REQUEST = 4400
_INIT_TIMEOUT = 4408
_EXISTS = 4409
_TOO_MANY = 4429
_INTERNAL_ERROR = 4500
_REASON_BYTES = 123  # RFC 6455 §5.5
_SEND_SECONDS = 10.0
_RETRY_AFTER_SECONDS = 1
_AUTHORIZATION = "authorization"

log = structlog.get_logger(__name__)

type _Message = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketTerms:
    """The limits of a socket.

    Attributes:
        terms: those of each operation.
        init_seconds: seconds after the handshake in which `connection_init` must arrive.
        idle_seconds: seconds after which a socket without operations is closed.
        operations: how many operations it may have at a time.
    """

    terms: Terms
    init_seconds: float
    idle_seconds: float
    operations: int


class _Ended(Exception):
    """The socket is to be closed, with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Connection:
    """One accepted socket.

    Args:
        client: the socket.
        head: the head of its handshake; the token of `connection_init` is added to it.
        gate: admits the caller and calls services.
        executor: executes operations.
        terms: the limits.
    """

    def __init__(
        self,
        *,
        client: WebSocket,
        head: RequestHead,
        gate: Gate,
        executor: Executor,
        terms: SocketTerms,
    ) -> None:
        self._client = client
        self._head = head
        self._gate = gate
        self._executor = executor
        self._terms = terms
        self._request_id = request_id_of(client.scope)
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._end: asyncio.Future[_Ended] = asyncio.get_running_loop().create_future()
        self._active_at = time.monotonic()
        self._principal: Principal | None = None
        self._feed: Feed | None = None

    def check(self, now: float) -> None:
        """End the socket if its token is no longer valid, or if it is idle."""
        if self._principal is None:
            return
        try:
            self._gate.check(self._principal)
        except ValueError as error:
            self._end_with(UNAUTHENTICATED, str(error))
        if not self._operations and now - self._active_at > self._terms.idle_seconds:
            self._end_with(_NORMAL, "Idle. Connect again when you need it.")

    async def serve(self, place: SocketPlace) -> None:
        """Serve the socket until one side closes it."""
        reading = asyncio.create_task(self._read(place))
        try:
            await asyncio.wait((reading, self._end), return_when=asyncio.FIRST_COMPLETED)
        finally:
            running = (reading, *self._operations.values())
            for task in running:
                task.cancel()
            await asyncio.wait(running)
        if self._end.done() and self._client.client_state is WebSocketState.CONNECTED:
            end = self._end.result()
            reason = end.reason.encode()[:_REASON_BYTES].decode(errors="ignore")
            await self._client.close(end.code, reason)

    def _end_with(self, code: int, reason: str) -> None:
        if not self._end.done():
            self._end.set_result(_Ended(code, reason))

    async def _read(self, place: SocketPlace) -> None:
        try:
            await self._begin(place)
            while True:
                await self._handle(await self._receive())
        except WebSocketDisconnect:
            return
        except _Ended as end:
            self._end_with(end.code, end.reason)
        except Exception:
            log.exception("graphql socket failed")
            self._end_with(_INTERNAL_ERROR, "Internal server error")

    async def _receive(self) -> _Message:
        message = await self._client.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or _NORMAL)
        self._active_at = time.monotonic()
        text = message.get("text")
        try:
            parsed = None if text is None else from_json(text, allow_inf_nan=False)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict) or not isinstance(parsed.get("type"), str):
            raise _Ended(_BAD_REQUEST, "The message is not a JSON object with a `type`.")
        return parsed

    async def _begin(self, place: SocketPlace) -> None:
        seconds = self._terms.init_seconds
        try:
            async with asyncio.timeout(seconds):
                message = await self._receive()
                while message["type"] in {"ping", "pong"}:
                    await self._handle(message)
                    message = await self._receive()
        except TimeoutError as error:
            reason = f"Connection initialisation timeout: send it within {seconds:g} s."
            raise _Ended(_INIT_TIMEOUT, reason) from error
        if message["type"] != "connection_init":
            raise _Ended(UNAUTHENTICATED, "Unauthorized: send connection_init first.")
        self._take_token(message.get("payload"))
        try:
            caller = await self._gate.admit(self._client.scope, self._head)
            self._principal = self._gate.principal(caller)
        except Unauthenticated as error:
            raise _Ended(UNAUTHENTICATED, error.detail) from error
        except TooManyRequests as error:
            raise _Ended(_TOO_MANY, error.detail) from error
        except (DomainError, ValueError) as error:
            raise _Ended(_TRY_AGAIN_LATER, "The gateway can't check the token now.") from error
        if self._principal is None:
            raise _Ended(UNAUTHENTICATED, NOT_AUTHENTICATED)
        place.spoke()
        self._feed = Feed(feeds=self._gate, fields=caller.fields, token=caller.token)
        await self._send({"type": "connection_ack"})

    def _take_token(self, payload: object) -> None:
        """Put the token of `connection_init` into the head, as if the handshake had sent it."""
        sent = payload if isinstance(payload, dict) else {}
        text = sent.get("Authorization", sent.get(_AUTHORIZATION))
        if text is None:
            return
        scheme, _, token = text.partition(" ") if isinstance(text, str) else ("", "", "")
        if scheme.lower() != "bearer" or not (token.isascii() and token.isprintable()):
            raise _Ended(UNAUTHENTICATED, "The payload's Authorization must be `Bearer <token>`.")
        field = b"Bearer " + token.strip().encode()
        name = _AUTHORIZATION.encode()
        self._head.authorization = field
        self._head.fields = [
            *(item for item in self._head.fields if item[0] != name),
            (name, field),
        ]

    async def _handle(self, message: _Message) -> None:
        kind = message["type"]
        if kind == "ping":
            await self._send({"type": "pong"})
        elif kind == "subscribe":
            await self._subscribe(message)
        elif kind == "complete":
            task = self._operations.pop(str(message.get("id")), None)
            if task is not None:
                task.cancel()
        elif kind == "connection_init":
            raise _Ended(_TOO_MANY, "Too many initialisation requests")
        elif kind != "pong":
            raise _Ended(_BAD_REQUEST, f"The message type {kind[:32]!r} is unknown.")

    async def _subscribe(self, message: _Message) -> None:
        key, payload = message.get("id"), message.get("payload")
        if not isinstance(key, str) or not key or not isinstance(payload, dict):
            raise _Ended(_BAD_REQUEST, "`subscribe` needs a text `id` and an object `payload`.")
        if key in self._operations:
            raise _Ended(_EXISTS, f"Subscriber for {key} already exists")
        try:
            request = request_of(payload)
        except ValueError as error:
            raise _Ended(_BAD_REQUEST, f"The payload is not valid: {error}.") from error
        if len(self._operations) >= self._terms.operations:
            most = self._terms.operations
            detail = f"A socket may have {most} operations at a time. Complete one first."
            await self._refuse(key, TooManyRequests(detail, retry_after=_RETRY_AFTER_SECONDS))
            return
        task = asyncio.create_task(self._run(key, request))
        self._operations[key] = task

        def ended(task: asyncio.Task[None]) -> None:
            if self._operations.get(key) is task:
                del self._operations[key]

        task.add_done_callback(ended)

    async def _run(self, key: str, request: Request) -> None:
        with suppress(WebSocketDisconnect):  # also while an error is sent
            await self._try(key, request)

    async def _try(self, key: str, request: Request) -> None:
        try:
            await guarded(self._execute(key, request))
        except WebSocketDisconnect:
            raise
        except OperationRefused as error:
            await self._send({"id": key, "type": "error", "payload": error.errors})
        except FeedClosed as closed:
            await self._feed_closed(key, closed)
        except Unauthenticated as error:
            self._end_with(UNAUTHENTICATED, error.detail)
        except DomainError as error:
            await self._refuse(key, error)
        except Exception:
            log.exception("graphql operation failed")
            self._end_with(_INTERNAL_ERROR, "Internal server error")

    async def _execute(self, key: str, request: Request) -> None:
        # Each operation is counted, and a token that has ended begins none.
        caller = await self._gate.admit(self._client.scope, self._head)
        operation = self._executor.read(request, request_id=self._request_id)
        context = Context(
            calls=self._gate,
            fields=caller.fields,
            terms=self._terms.terms,
            request_id=self._request_id,
            feed=self._feed,
        )
        if operation.kind is OperationType.SUBSCRIPTION:
            await self._send_all(key, await self._executor.follow(operation, context))
        else:
            await self._send_next(key, await self._executor.run(operation, context))
        await self._send({"id": key, "type": "complete"})

    async def _send_all(self, key: str, events: AsyncGenerator[Response]) -> None:
        async with aclosing(events):
            async for event in events:
                await self._send_next(key, event)

    async def _feed_closed(self, key: str, closed: FeedClosed) -> None:
        problem = closed.problem
        if problem is None:
            reason = "The live feed ended. Connect again, and pass your last eventId as `after`."
            self._end_with(_TRY_AGAIN_LATER, reason)
        elif isinstance(problem, Unauthenticated):
            self._end_with(UNAUTHENTICATED, problem.detail)
        else:
            await self._refuse(key, problem)

    async def _refuse(self, key: str, error: DomainError) -> None:
        refusal = refusal_of(error, request_id=self._request_id)
        await self._send({"id": key, "type": "error", "payload": refusal.errors})

    async def _send_next(self, key: str, content: Response) -> None:
        await self._send({"id": key, "type": "next", "payload": content})

    async def _send(self, message: _Message) -> None:
        text = to_json(message).decode()
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self._client.send_text(text)
        except TimeoutError:
            self._end_with(_TRY_AGAIN_LATER, "You read too slowly. Connect again.")
        except RuntimeError as error:  # Starlette: the socket is closed already
            raise WebSocketDisconnect(_NORMAL) from error
