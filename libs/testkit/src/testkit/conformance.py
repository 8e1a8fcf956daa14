"""Schemathesis against a running API: no 5xx, and no response that the document lacks."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Err
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chassis.wire_names import EVENT_STREAM

type Fields = Mapping[str, str]

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


async def conforms(
    document: Mapping[str, Any],
    *,
    base_url: str,
    headers: Fields | Callable[[str], Fields] | None = None,
    known: Fields | None = None,
    max_examples: int = 25,
) -> dict[str, Counter[int]]:
    """Send generated requests, valid and not, to every operation but streams without end.

    The requests of an operation are the same in each run.

    Args:
        document: the OpenAPI document.
        base_url: the base URL of the server that should conform to it.
        headers: fields that are sent with each request, such as a token. A function gets the
            operationId, once for each operation: a token may not survive an operation.
        known: values of path parameters that exist. Half of the requests have them, so that
            not all end with 404.
        max_examples: the largest number of requests for each operation.

    Returns:
        How often each status came, by operationId.

    Raises:
        Exception: Schemathesis' failure, which shows the request as a curl command.
    """

    def attack() -> dict[str, Counter[int]]:
        statuses: dict[str, Counter[int]] = {}
        for operation in _operations(document, base_url):
            name = operation.definition.raw["operationId"]
            fields = headers(name) if callable(headers) else headers or {}
            statuses[name] = _attack(operation, fields, known or {}, max_examples)
        return statuses

    return await asyncio.to_thread(attack)


def _operations(document: Mapping[str, Any], base_url: str) -> list[Any]:
    schema = schemathesis.openapi.from_dict(dict(document))
    schema.config.update(base_url=base_url)
    operations: list[Any] = []
    for result in schema.get_all_operations():
        if isinstance(result, Err):
            raise result.err()
        operation = result.ok()
        if EVENT_STREAM not in operation.definition.raw["responses"].get("200", {}).get(
            "content", {}
        ):
            operations.append(operation)
    # What the others can name is deleted last.
    return sorted(operations, key=lambda operation: operation.method.lower() == "delete")


def _attack(
    operation: Any,  # noqa: ANN401 - untyped
    headers: Fields,
    known: Fields,
    max_examples: int,
) -> Counter[int]:
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,  # a failure must be reproducible
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), exists=st.booleans())
    def attempt(case: Any, exists: bool) -> None:  # noqa: ANN401 - untyped; drawn
        if exists and known and case.path_parameters:
            case.path_parameters = {
                name: known.get(name, value) for name, value in case.path_parameters.items()
            }
        response = case.call_and_validate(headers=dict(headers), checks=_CHECKS)
        statuses[response.status_code] += 1

    attempt()
    return statuses
