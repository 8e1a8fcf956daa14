"""Assertions about problem documents."""

import httpx


def problem_kind(response: httpx.Response) -> str:
    """Return the last part of the problem's type.

    Raises:
        AssertionError: the response is not a problem document, or contradicts its header fields.
    """
    _check(response.headers["content-type"] == "application/problem+json", response)
    problem = response.json()
    _check(problem["status"] == response.status_code, response)
    _check(problem["request_id"] == response.headers["x-request-id"], response)
    return str(problem["type"]).rpartition("/")[2]


def _check(holds: bool, response: httpx.Response) -> None:
    if not holds:
        message = (
            f"The response is not a problem document: {response.status_code} {response.headers} "
            f"{response.text}"
        )
        raise AssertionError(message)
