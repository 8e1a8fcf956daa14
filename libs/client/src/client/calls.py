"""How a call is sent and repeated, and its response read."""

import asyncio
import itertools
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID, uuid4
from weakref import WeakSet

import httpx
from pydantic import BaseModel, ValidationError

from client.closing import Closing
from client.errors import AnswerError, DeadlineError, ProblemError
from client.retries import Retries
from client.tokens import RenewingToken, Token, access_token_of

BASE: Final = "/api/v1"
MERGE_PATCH: Final = {"Content-Type": "application/merge-patch+json"}
_KEY: Final = "Idempotency-Key"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_OLD_LOG_IN: Final = "insufficient_user_authentication"  # RFC 9470: a refresh is of no use


class Calls(Closing):
    """Sends calls to one gateway. The calls of each noun are methods on it.

    A call raises `ProblemError` if the API rejects it, `AnswerError` if the response is not one of
    the API's, `DeadlineError` if there is no result in time, and httpx's own errors if the gateway
    is unreachable.

    A GET, and a call with an Idempotency-Key, is attempted again if its response is lost, or is
    502, 503 or 504. Any call is attempted again after 429, or if no connection could be opened.

    Args:
        base_url: the gateway's address, without `/api/v1`.
        timeout: seconds for each step of an attempt.
        deadline: seconds for a call with all its attempts.
        retries: how often calls are attempted.
        trust_env: whether to use the proxies that the environment names. The client always
            connects directly to a gateway on this machine, since a proxy can't reach it.
        transport: replaces httpx's transport, e.g. by `httpx.ASGITransport` in a test.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 10.0,
        deadline: float = 30.0,
        retries: Retries | None = None,
        trust_env: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._deadline = deadline
        self._retries = retries or Retries()
        host = httpx.URL(self._base_url).host  # httpx returns it in lower case
        self._trust_env = trust_env and host not in _LOOPBACK
        self._http = httpx.AsyncClient(
            base_url=self._base_url, timeout=timeout, trust_env=self._trust_env, transport=transport
        )
        self._renewing: WeakSet[RenewingToken] = WeakSet()

    async def aclose(self) -> None:
        """Wait for renewals that are under way, and close all connections."""
        for token in list(self._renewing):
            await token.settle()
        await self._http.aclose()

    async def call[Shape: BaseModel](
        self,
        shape: type[Shape],
        method: str,
        path: str,
        **request: Any,  # noqa: ANN401  # the arguments of `send`
    ) -> Shape:
        """Send a request, and return its response in a shape.

        Args:
            shape: the model of the response's body.
            method: the method, `GET`.
            path: the path below `/api/v1`.
            request: see ``send``.
        """
        response = await self.send(method, path, **request)
        try:
            return shape.model_validate_json(response.content)
        except ValidationError as error:
            reason = f"without a valid {shape.__name__} ({error.error_count()} fields differ)"
            raise AnswerError(response, reason) from error

    async def send(
        self,
        method: str,
        path: str,
        *,
        token: Token | None = None,
        repeatable: bool | None = None,
        **request: Any,  # noqa: ANN401  # passed on to httpx, whose own types are private
    ) -> httpx.Response:
        """Send a request until it has a final response, and return that if it is a success.

        Args:
            method: the method, `GET`.
            path: the path below `/api/v1`.
            token: authenticates the call.
            repeatable: whether a second request has the same result as the first one. None: if it
                is a GET, or has an Idempotency-Key.
            request: passed on to httpx.
        """
        # Built once, so that all attempts have the same key and the same bytes.
        built = self._http.build_request(method, BASE + path, **request)
        if repeatable is None:
            repeatable = method == "GET" or _KEY in built.headers
        try:
            async with asyncio.timeout(self._deadline) as deadline:
                response = await self._response(built, token, deadline, repeatable=repeatable)
        except TimeoutError as error:
            message = (
                f"{method} {built.url} had no result within {self._deadline:g} s. It may have "
                "taken effect: look, or repeat it with the same Idempotency-Key."
            )
            raise DeadlineError(message) from error
        if not response.is_success:
            problem = ProblemError.of(response)
            raise problem or AnswerError(response, "without a problem document")
        return response

    async def _response(
        self,
        request: httpx.Request,
        token: Token | None,
        deadline: asyncio.Timeout,
        *,
        repeatable: bool,
    ) -> httpx.Response:
        for attempt in itertools.count(1):
            try:
                response = await self._authorized(request, token)
            except httpx.TransportError as error:
                wait = self._retries.after_error(error, attempt, repeatable=repeatable)
                if wait is None or _is_later(deadline, wait):
                    raise
            else:
                wait = self._retries.after_response(response, attempt, repeatable=repeatable)
                if wait is None or _is_later(deadline, wait):
                    return response
            await asyncio.sleep(wait)
        raise AssertionError  # pragma: no cover  # the loop has no end

    async def _authorized(self, request: httpx.Request, token: Token | None) -> httpx.Response:
        if token is None:
            return await self._http.send(request)
        access = await access_token_of(token)
        response = await self._http.send(_with_token(request, access))
        if isinstance(token, RenewingToken) and _rejects_token(response):
            access = await token.renew(access)
            response = await self._http.send(_with_token(request, access))
        return response


def if_match(version: int | None) -> dict[str, str]:
    """Return the header that a change is made with only at `version`; None for any version."""
    return {} if version is None else {"If-Match": f'"{version}"'}


def key_header(key: str | None) -> dict[str, str]:
    """Return the header that makes a call repeatable, with the caller's key or a new one."""
    return {_KEY: uuid4().hex if key is None else key}


def params_of(
    **values: str | int | bool | UUID | datetime | None,
) -> dict[str, str | int | bool]:
    """Return the parameters that are not None."""
    return {name: _text_of(value) for name, value in values.items() if value is not None}


def _text_of(value: str | int | bool | UUID | datetime) -> str | int | bool:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _with_token(request: httpx.Request, access_token: str) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {access_token}"
    return request


def _rejects_token(response: httpx.Response) -> bool:
    challenge = response.headers.get("WWW-Authenticate", "")
    return response.status_code == HTTPStatus.UNAUTHORIZED and _OLD_LOG_IN not in challenge


def _is_later(deadline: asyncio.Timeout, seconds: float) -> bool:
    """Return whether the deadline is over in that many seconds."""
    at = deadline.when()
    return at is not None and asyncio.get_running_loop().time() + seconds >= at
