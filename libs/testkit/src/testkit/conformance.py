"""Schemathesis against a running API: no 5xx, and no response that the document lacks."""

import asyncio
from collections.abc import Mapping
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Err
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

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
    headers: Mapping[str, str] | None = None,
    max_examples: int = 25,
) -> int:
    """Send generated requests, valid and not, to every operation; return how many there are.

    Args:
        document: the OpenAPI document.
        base_url: the base URL of the server that should conform to it.
        headers: fields that are sent with each request, such as a token.
        max_examples: the largest number of requests for each operation.

    Raises:
        Exception: Schemathesis' failure, which shows the request as a curl command.
    """

    def attack() -> int:
        operations = _operations(document, base_url)
        for operation in operations:
            _attack(operation, dict(headers or {}), max_examples)
        return len(operations)

    return await asyncio.to_thread(attack)


def _operations(document: Mapping[str, Any], base_url: str) -> list[Any]:
    schema = schemathesis.openapi.from_dict(dict(document))
    schema.config.update(base_url=base_url)
    operations: list[Any] = []
    for result in schema.get_all_operations():
        if isinstance(result, Err):
            raise result.err()
        operations.append(result.ok())
    return operations


def _attack(operation: Any, headers: Mapping[str, str], max_examples: int) -> None:  # noqa: ANN401 - untyped
    @settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,  # a failure must be reproducible
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def attempt(case: Any) -> None:  # noqa: ANN401 - untyped
        case.call_and_validate(headers=headers, checks=_CHECKS)

    attempt()
