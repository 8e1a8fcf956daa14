"""The errors of an operation, and how they are written into `errors` of a response."""

from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from graphql import GraphQLError

from chassis.errors import Conflict, DomainError, Malformed
from chassis.http.problems import TYPE_PREFIX, status_of
from gateway.errors import Refused

_INTERNAL = 500
_FAILED = (
    "The gateway failed to resolve this field. The error was logged with the request id. If this "
    "is a mutation, it may have taken effect: check that before you send it again."
)

log = structlog.get_logger(__name__)


class GraphqlLimitExceeded(Malformed):
    """The GraphQL document exceeds a limit.

    Args:
        limit: the name of the limit.
        most: its value.
        detail: what was counted, and what to do.
    """

    def __init__(self, detail: str, *, limit: str, most: int) -> None:
        super().__init__(detail, extra={"limit": limit, "most": most})


class GraphqlFeedReset(Conflict):
    """The live feed can't be continued from this event."""


class UpstreamProblem(Exception):
    """A service refused a call, or the gateway got no valid response from it.

    Args:
        detail: what was wrong.
        members: the members of the problem document (RFC 9457) that `extensions` show.
    """

    def __init__(self, detail: str, members: Mapping[str, Any]) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = dict(members)


class OperationRefused(Exception):
    """An operation that is not executed: its response has `errors` and no `data`.

    Args:
        errors: the formatted errors.
        well_formed: whether the request itself could be read. Then a client that accepts only
            `application/json` gets 200, as GraphQL over HTTP demands; all others get 400.
    """

    def __init__(self, errors: list[dict[str, Any]], *, well_formed: bool = True) -> None:
        super().__init__("; ".join(error["message"] for error in errors))
        self.errors = errors
        self.well_formed = well_formed


def members_of(error: DomainError | Refused) -> dict[str, Any]:
    """Return the problem members of one of the gateway's own errors."""
    if isinstance(error, Refused):
        names = {502: "bad-gateway", 504: "gateway-timeout"}
        kind = names.get(error.status, "error")
        return {"type": TYPE_PREFIX + kind, "status": error.status}
    retry = {} if error.retry_after is None else {"retry_after": error.retry_after}
    status = status_of(type(error))
    return {"type": TYPE_PREFIX + error.name, "status": status, **retry, **error.extra}


def problem_from(error: DomainError | Refused) -> UpstreamProblem:
    """Return an error of the gateway as one that a resolver may raise."""
    return UpstreamProblem(error.detail, members_of(error))


def refusal_of(
    error: DomainError, *, request_id: str, well_formed: bool = True
) -> OperationRefused:
    """Return the refusal of a whole operation for a domain error."""
    members = members_of(error)
    shown = {"message": error.detail, "extensions": {**members, "request_id": request_id}}
    return OperationRefused([shown], well_formed=well_formed)


def refused_document(errors: Iterable[GraphQLError], *, request_id: str) -> OperationRefused:
    """Return the refusal of a document that is not valid, or of its variables."""
    return OperationRefused(formatted(errors, request_id=request_id))


def formatted(errors: Iterable[GraphQLError], *, request_id: str) -> list[dict[str, Any]]:
    """Return the errors as a response has them. None of them reveals an internal failure."""
    return [_formatted(error, request_id) for error in errors]


def _formatted(error: GraphQLError, request_id: str) -> dict[str, Any]:
    message, members = _told(error)
    shown: dict[str, Any] = {"message": message}
    if error.locations:
        shown["locations"] = [place.formatted for place in error.locations]
    if error.path is not None:
        shown["path"] = error.path
    shown["extensions"] = {**members, "request_id": request_id}
    return shown


def _told(error: GraphQLError) -> tuple[str, dict[str, Any]]:
    cause = error.original_error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    if isinstance(cause, UpstreamProblem):
        return cause.detail, cause.members
    if isinstance(cause, DomainError | Refused):
        return cause.detail, members_of(cause)
    if error.path is None:  # found before the execution: about the document and its variables
        return _readable(error.message), members_of(Malformed())
    log.error("graphql field failed", path=error.path, exc_info=cause or error)
    return _FAILED, {"type": f"{TYPE_PREFIX}internal-server-error", "status": _INTERNAL}


def _readable(text: str) -> str:
    """Return a text of graphql-core that a lone surrogate of the document can't break."""
    return text.encode("utf-8", "backslashreplace").decode()
