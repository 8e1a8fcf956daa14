"""An executor of graphql-core that reads rows by plans.

`execute` accepts an executor class and passes it further arguments, but graphql-core documents no
method to override.
"""

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from typing import Any, Protocol

from graphql import Executor, GraphQLObjectType, GraphQLResolveInfo, Undefined
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet
from graphql.pyutils import AwaitableOrValue, Path

type Details = FieldDetailsList
type Collect = Callable[[GraphQLObjectType, Details], GroupedFieldSet]


class Plan(Protocol):
    """How the rows of one selection are read."""

    def requests(self, row: Any, context: Any) -> set[asyncio.Task[None]]:  # noqa: ANN401 - JSON, and of any operation
        """Return the requests that must be done before the row is read."""

    def read(self, row: Any, context: Any) -> Any:  # noqa: ANN401 - likewise
        """Return the row's object; Undefined if graphql-core must read it."""


class Plans(Protocol):
    """The plans of one document."""

    def of(self, kind: GraphQLObjectType, details: Details, collect: Collect) -> Plan | None:
        """Return the plan of a selection; None if graphql-core must read its rows."""


class RowExecutor(Executor[None]):
    """Executes operations. Rows that no plan reads take graphql-core's own way.

    Args:
        arguments: those of graphql-core.
        plans: the plans of the document.
        more: further arguments of graphql-core.
    """

    def __init__(self, *arguments: Any, plans: Plans, **more: Any) -> None:  # noqa: ANN401 - they are graphql-core's
        super().__init__(*arguments, **more)
        self.plans = plans

    def complete_object_value(
        self,
        return_type: GraphQLObjectType,
        field_details_list: Details,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,  # noqa: ANN401 - any value of JSON
        position_context: None,
    ) -> AwaitableOrValue[dict[str, Any]]:
        """Return the object for a row, or an awaitable of it."""

        def by_graphql_core() -> AwaitableOrValue[dict[str, Any]]:
            return super(RowExecutor, self).complete_object_value(
                return_type, field_details_list, info, path, result, position_context
            )

        async def when_loaded(plan: Plan, requests: set[asyncio.Task[None]]) -> dict[str, Any]:
            await asyncio.wait(requests)
            value = plan.read(result, self.context_value)
            completed = by_graphql_core() if value is Undefined else value
            whole: dict[str, Any] = await completed if isawaitable(completed) else completed
            return whole

        plan = self.plans.of(return_type, field_details_list, self.fields)
        if plan is None:
            return by_graphql_core()
        requests = plan.requests(result, self.context_value)
        if requests:
            return when_loaded(plan, requests)
        value = plan.read(result, self.context_value)
        return by_graphql_core() if value is Undefined else value

    def fields(self, kind: GraphQLObjectType, details: Details) -> GroupedFieldSet:
        """Return the fields of a selection."""
        return self.collect_subfields(kind, details).grouped_field_set
