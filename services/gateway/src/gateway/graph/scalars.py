"""Scalars. Values of services pass through as they are: the services have checked them."""

import re
from collections.abc import Mapping
from typing import Any, NewType

import strawberry
from graphql import GraphQLError, IntValueNode, StringValueNode
from graphql.language import ValueNode
from strawberry.types.scalar import ScalarDefinition

_MAX_SAFE_INTEGER = 2**53 - 1
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)

BigInt = NewType("BigInt", int)
DateTime = NewType("DateTime", str)
Json = NewType("Json", object)


def _same(value: Any) -> Any:  # noqa: ANN401 - a value of JSON
    return value


def _big_int(value: object) -> BigInt:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_SAFE_INTEGER:
        message = f"BigInt must be an integer of at most {_MAX_SAFE_INTEGER}."
        raise GraphQLError(message)
    return BigInt(value)


def _big_int_literal(node: ValueNode, _: object = None) -> BigInt:
    if not isinstance(node, IntValueNode) or len(node.value) > len(str(-_MAX_SAFE_INTEGER)):
        message = f"BigInt must be an integer of at most {_MAX_SAFE_INTEGER}."
        raise GraphQLError(message, node)
    return _big_int(int(node.value))


def _date_time(value: object) -> DateTime:
    if not isinstance(value, str) or _TIME.fullmatch(value) is None:
        message = "DateTime must be a time of RFC 3339 with an offset, as 2026-01-02T03:04:05Z."
        raise GraphQLError(message)
    return DateTime(value)


def _date_time_literal(node: ValueNode, _: object = None) -> DateTime:
    return _date_time(node.value if isinstance(node, StringValueNode) else None)


SCALARS: Mapping[object, ScalarDefinition] = {
    BigInt: strawberry.scalar(
        name="BigInt",
        description="An integer of up to 2^53 - 1, as a JSON number.",
        serialize=_same,
        parse_value=_big_int,
        parse_literal=_big_int_literal,
    ),
    DateTime: strawberry.scalar(
        name="DateTime",
        description="A time of RFC 3339.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time",
        serialize=_same,
        parse_value=_date_time,
        parse_literal=_date_time_literal,
    ),
    Json: strawberry.scalar(
        name="JSON",
        description="Any JSON value.",
        serialize=_same,
        parse_value=_same,
    ),
}

UNCHANGED: Mapping[str, frozenset[type]] = {
    "BigInt": frozenset({int}),
    "Boolean": frozenset({bool}),
    "DateTime": frozenset({str}),
    "ID": frozenset({str}),
    "JSON": frozenset({dict, list, str, int, float, bool}),
    "String": frozenset({str}),
}
"""Scalars, with the types whose values each of them returns unchanged."""
