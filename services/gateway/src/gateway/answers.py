"""The gateway's own error responses on proxied paths: problem documents, as services send them."""

from starlette.requests import Request
from starlette.responses import Response

from chassis.errors import DomainError
from chassis.http.problems import problem_of, problem_of_status
from gateway.admission import COUNTED, LimitReached
from gateway.errors import Refused, Suspicious


def answer_to(request: Request, error: Refused | DomainError) -> Response:
    """Return the response for an error."""
    if isinstance(error, Refused):
        answer = problem_of_status(request, error.status, error.detail, error.headers)
    else:
        answer = problem_of(request, error)
    answer.raw_headers += request.scope.get(COUNTED, [])
    if isinstance(error, Suspicious):
        answer.headers["Connection"] = "close"
    if isinstance(error, LimitReached):
        answer.raw_headers += error.fields
    return answer
