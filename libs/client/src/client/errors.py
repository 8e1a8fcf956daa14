"""The exceptions of the client. All of its own are ClientErrors; httpx's are raised as they are."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Self

import httpx
from pydantic import BaseModel, ValidationError

from client.shapes import FieldError


class ClientError(Exception):
    """The base of the client's own exceptions."""


class ProblemError(ClientError):
    """The server rejected the call with a problem document (RFC 9457).

    Attributes:
        status: the HTTP status.
        type: a URI whose last part names the problem, e.g. `…/out-of-stock`.
        title: the summary of this problem type.
        detail: the description of this occurrence.
        request_id: the id to search for in the server's logs.
        errors: the invalid fields, if validation failed.
        headers: the response's headers, e.g. `Retry-After`.
    """

    def __init__(self, problem: "_Problem", *, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.type = problem.type
        self.title = problem.title
        self.detail = problem.detail
        self.request_id = problem.request_id or headers.get("X-Request-ID")
        self.errors = problem.errors or ()
        self.headers = headers
        super().__init__(str(self))

    @property
    def name(self) -> str:
        """The last part of `type`, in kebab case."""
        return self.type.rpartition("/")[2]

    def __str__(self) -> str:
        fields = "".join(f"; {error.place}: {error.detail}" for error in self.errors)
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.status} {self.title.rstrip('.')}{detail}{fields} (request {self.request_id})"

    @classmethod
    def of(cls, response: httpx.Response) -> Self | None:
        """Return the problem in a response, or None if the response holds no problem document."""
        if not response.headers.get("Content-Type", "").startswith("application/problem+json"):
            return None
        try:
            problem = _Problem.model_validate_json(response.content)
        except ValidationError:
            return None
        return cls(problem, status=response.status_code, headers=response.headers)


class TokenError(ClientError):
    """The server rejected a request for or about tokens (RFC 6749 §5.2).

    Attributes:
        error: the code. `invalid_grant`: the log-in session has ended; log in again.
        description: what was wrong and what to do.
    """

    def __init__(self, error: str, description: str) -> None:
        self.error = error
        self.description = description
        super().__init__(f"{error}: {description}")

    @classmethod
    def of(cls, response: httpx.Response) -> Self | None:
        """Return the error in a response, or None if the response holds none."""
        try:
            refusal = _TokenRefusal.model_validate_json(response.content)
        except ValidationError:
            return None
        return cls(refusal.error, refusal.error_description)


class AnswerError(ClientError):
    """The response is neither what the API promises nor a problem document.

    Attributes:
        status: the HTTP status.
        headers: the response's headers.
        response: the response.
    """

    def __init__(self, response: httpx.Response, reason: str) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.response = response
        request = response.request
        super().__init__(
            f"{request.method} {request.url} returned {response.status_code} {reason}: "
            f"{response.text[:200]!r}. Check that this is the address of the gateway."
        )


class DeadlineError(ClientError):
    """A call had no result within its deadline. It may have taken effect."""


class CommandError(ClientError):
    """The server refused a command on the live feed. The connection goes on.

    Attributes:
        name: the last part of the problem's type, in kebab case.
        detail: what was wrong and what to do.
    """

    def __init__(self, name: str, detail: str) -> None:
        self.name = name
        self.detail = detail
        super().__init__(f"{name}: {detail}")


class FeedError(ClientError):
    """The live feed could not be opened, or it ended.

    Attributes:
        code: the WebSocket close code (RFC 6455 §7.4), 4000 plus an HTTP status for refusals of
            the API; the HTTP status of a handshake that was refused; None if there was neither.
        permanent: whether connecting again would end in the same way.
        reconnect_seconds: when the server asks to be connected to again. It has spread its clients,
            so no delay is to be added. None: it does not say.
        retry_after: the seconds that a refusal asks to wait at least (`Retry-After`). All clients
            are told the same, so add a random delay. None: it does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        strange: bool = False,
        reconnect_seconds: float | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.code = code
        self.retry_after = retry_after
        self.reconnect_seconds = reconnect_seconds
        self.permanent = strange or (code is not None and _is_permanent(code))
        super().__init__(message)


_OWN_CODES = 4000  # the API's close codes: 4000 plus the HTTP status of the reason
_VIOLATIONS = {1002, 1003, 1007, 1008, 1009, 1010}
_LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


def is_permanent_status(status: int) -> bool:
    """Return whether the same request would be refused again, whenever it is sent."""
    return status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _LATER


def _is_permanent(code: int) -> bool:
    status = code % _OWN_CODES
    refused = status >= HTTPStatus.BAD_REQUEST and is_permanent_status(status)
    return refused or code in _VIOLATIONS


class _Problem(BaseModel):
    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    request_id: str | None = None
    errors: tuple[FieldError, ...] | None = None


class _TokenRefusal(BaseModel):
    error: str
    error_description: str = ""
