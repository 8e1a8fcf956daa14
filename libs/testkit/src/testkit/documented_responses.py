"""Compares the responses that a service's tests get with the service's OpenAPI document.

The tests of a use case know each way in which it is refused; its route may not document all.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
from fastapi import FastAPI

from chassis.database import new_id
from chassis.wire_names import EVENT_STREAM, FORM, IDEMPOTENCY_KEY, PROBLEM

# Any route may respond with these. The document describes them without their names, and only where
# a valid request may lead to them.
_COMMON = frozenset(
    {
        "content-too-large",
        "deadline-exceeded",
        "internal-server-error",
        "unavailable",
        "unsupported-media-type",
    }
)


# Fields of a response by which a client goes on.
_FIELDS = ("ETag", "Location")
_NOT_MODIFIED = 304  # it repeats the fields of the 200

# By service. To generate one takes 0.3 s, and each test has an app of its own.
_documents: dict[str, Mapping[str, Any]] = {}


def documented_by(app: FastAPI, service: str) -> Callable[[httpx.Response], Awaitable[None]]:
    """Return a hook for a client of `app`: it fails the test that gets an undocumented response.

    All apps of a `service` have the same document.

    A response is documented if its operation lists the status, the description of a problem names
    its type, and the status has the fields by which a client goes on. What any route may respond
    with, and a response of no operation, is not checked.
    """

    async def check(response: httpx.Response) -> None:
        if service not in _documents:
            _documents[service] = app.openapi()
        operation = _operation_of(_documents[service], response.request)
        kind = await _kind_of(response)
        if operation is None or kind in _COMMON:
            return
        status, name = response.status_code, operation["operationId"]
        documented = operation["responses"].get(str(status))
        if documented is None:
            message = f"{name} does not document the response {status}."
            raise AssertionError(message)
        if kind is not None and f"`{kind}`" not in documented["description"]:
            message = (
                f"{name} documents the response {status}, but not as {kind!r}. Add the error to "
                "`problems(…)` of the route."
            )
            raise AssertionError(message)
        fields = documented.get("headers", {})
        missing = [one for one in _FIELDS if one in response.headers and one not in fields]
        if missing and status != _NOT_MODIFIED:
            message = f"{name} documents the response {status} without {' and '.join(missing)}."
            raise AssertionError(message)

    return check


async def _kind_of(response: httpx.Response) -> str | None:
    """Return the last part of a problem's type; None if the response shows no problem."""
    if not response.headers.get("Content-Type", "").startswith(PROBLEM):
        return None
    if not await response.aread():  # the response to HEAD
        return None
    kind: str = response.json()["type"].rpartition("/")[2]
    return kind


async def send_examples(
    client: httpx.AsyncClient, document: Mapping[str, Any], *, headers: Mapping[str, str]
) -> dict[str, httpx.Response]:
    """Send the documented example of each operation but streams; return the responses by its id.

    The ids in the paths are new ones. With the client of ``documented_by``, an undocumented
    response fails the test.

    Args:
        client: the client of the service.
        document: the service's OpenAPI document.
        headers: fields of each request, such as a caller's token.
    """
    responses: dict[str, httpx.Response] = {}
    operations = [
        (method, template, operation)
        for template, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    # What the others need, such as the caller's account, is deleted last.
    for method, template, operation in sorted(operations, key=lambda one: one[0] == "delete"):
        path = re.sub(r"\{[^}]+\}", lambda _: str(new_id()), template)
        if EVENT_STREAM in operation["responses"].get("200", {}).get("content", {}):
            continue
        fields = {**headers, IDEMPOTENCY_KEY: str(new_id())}
        body: dict[str, Any] = {}
        for kind, media in operation.get("requestBody", {}).get("content", {}).items():
            fields["Content-Type"] = kind
            body["data" if kind == FORM else "json"] = media["example"]
        responses[operation["operationId"]] = await client.request(
            method, path, headers=fields, **body
        )
    return responses


def _operation_of(document: Mapping[str, Any], request: httpx.Request) -> Mapping[str, Any] | None:
    """Return the operation of a request; None for a path or a method that there is not."""
    matching = [
        template
        for template in document["paths"]
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), request.url.path)
    ]
    if not matching:
        return None
    exact = min(matching, key=lambda template: template.count("{"))  # as `/users/me`
    operation: Mapping[str, Any] | None = document["paths"][exact].get(request.method.lower())
    return operation
