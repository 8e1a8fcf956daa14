"""Executes operations, and writes their responses."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, cast

from graphql import ExecutionResult, GraphQLSchema, execute, subscribe

from gateway.graph.context import Context
from gateway.graph.failures import OperationRefused, formatted
from gateway.graph.operations import Operation, Operations
from gateway.library_internals.graphql_core import RowExecutor


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of a request (GraphQL over HTTP §5.1).

    Attributes:
        query: the document.
        name: the operation's name.
        variables: the variables.
    """

    query: str
    name: str | None
    variables: dict[str, Any]


type Response = dict[str, Any]


class Executor:
    """Executes operations.

    Args:
        schema: the schema.
        operations: reads the documents.
    """

    def __init__(self, schema: GraphQLSchema, operations: Operations) -> None:
        self._schema = schema
        self._operations = operations

    def read(self, request: Request, *, request_id: str) -> Operation:
        """Return the operation that a request means, or raise OperationRefused."""
        return self._operations.read(
            request.query, name=request.name, variables=request.variables, request_id=request_id
        )

    async def run(self, operation: Operation, context: Context) -> Response:
        """Execute a query or mutation, and return its response.

        Raises:
            OperationRefused: its variables are not valid.
        """
        outcome = execute(
            self._schema,
            operation.document,
            context_value=context,
            variable_values=operation.variables,
            operation_name=operation.name,
            executor_class=RowExecutor,
            plans=operation.plans,
        )
        result = await outcome if isawaitable(outcome) else outcome
        return _response(result, context.request_id)

    async def follow(self, operation: Operation, context: Context) -> AsyncGenerator[Response]:
        """Begin a subscription, and return the responses of its events.

        Their iteration raises FeedClosed if the live feed ended, and GraphqlFeedReset if it can't
        be continued where the client wants it.

        Raises:
            OperationRefused: its variables are not valid.
        """
        outcome = subscribe(
            self._schema,
            operation.document,
            context_value=context,
            variable_values=operation.variables,
            operation_name=operation.name,
            executor_class=RowExecutor,
            plans=operation.plans,
        )
        events = await outcome if isawaitable(outcome) else outcome
        if isinstance(events, ExecutionResult):
            errors = formatted(events.errors or [], request_id=context.request_id)
            raise OperationRefused(errors)
        return _responses(events, context.request_id)


async def _responses(
    events: AsyncIterator[ExecutionResult], request_id: str
) -> AsyncGenerator[Response]:
    async with aclosing(cast("AsyncGenerator[ExecutionResult]", events)):
        async for result in events:
            yield _response(result, request_id)


def _response(result: ExecutionResult, request_id: str) -> Response:
    if not result.errors:
        return {"data": result.data}
    errors = formatted(result.errors, request_id=request_id)
    if result.data is None and all(error.path is None for error in result.errors):
        raise OperationRefused(errors)
    return {"errors": errors, "data": result.data}


def refused(error: OperationRefused) -> Response:
    """Return the response for an operation that was not executed."""
    return {"errors": error.errors}


def request_of(parameters: Mapping[str, Any]) -> Request:
    """Return the request that JSON parameters describe, or raise ValueError with what is wrong."""
    query = parameters.get("query")
    name = parameters.get("operationName")
    wrong = {
        "`query` must be the document, as a text": not isinstance(query, str) or not query,
        "`operationName` must be a text": not isinstance(name, str | None),
        "`variables` must be an object": not _is_map(parameters.get("variables")),
        "`extensions` must be an object": not _is_map(parameters.get("extensions")),
    }
    for reason, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(reason)
    variables = parameters.get("variables") or {}
    return Request(query=str(query), name=name or None, variables=variables)


def _is_map(value: object) -> bool:
    return isinstance(value, dict | None)
