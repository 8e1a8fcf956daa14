"""How a call is sent, and its response read."""

from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import BaseModel, ValidationError

from client.errors import AnswerError, ProblemError

BASE = "/api/v1"
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Calls:
    """Sends calls to one gateway. Each folder of the API builds its methods on it."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 10.0,
        trust_env: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        host = httpx.URL(self._base_url).host  # httpx returns it in lower case
        self._trust_env = trust_env and host not in _LOOPBACK
        self._http = httpx.AsyncClient(
            base_url=self._base_url, timeout=timeout, trust_env=self._trust_env, transport=transport
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def call[Answer: BaseModel](
        self,
        shape: type[Answer],
        method: str,
        path: str,
        **request: Any,  # noqa: ANN401  # passed on to httpx, whose own types are private
    ) -> Answer:
        """Send a request, and return its response in a shape.

        Args:
            shape: the model of the response's body.
            method: the method, `GET`.
            path: the path below `/api/v1`.
            request: passed on to httpx.

        Raises:
            ProblemError: the API rejects the request.
            AnswerError: the response is not one of the API's.
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
        **request: Any,  # noqa: ANN401  # passed on to httpx, whose own types are private
    ) -> httpx.Response:
        """Send a request, and return its response, whose body is not read; see ``call``."""
        response = await self._http.request(method, BASE + path, **request)
        if not response.is_success:
            problem = ProblemError.of(response)
            raise problem or AnswerError(response, "without a problem document")
        return response


def bearer(token: str) -> dict[str, str]:
    """Return the header of an access token."""
    return {"Authorization": f"Bearer {token}"}


def if_match(version: int | None) -> dict[str, str]:
    """Return the header that a change is made with only at `version`; None for any version."""
    return {} if version is None else {"If-Match": f'"{version}"'}


def params_of(**values: str | int | bool | None) -> dict[str, str | int | bool]:
    """Return the parameters that are not None."""
    return {name: value for name, value in values.items() if value is not None}
