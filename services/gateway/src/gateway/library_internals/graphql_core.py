"""An executor of graphql-core that reads plain members of rows at once.

`execute` accepts an executor class, but graphql-core documents no method to override. For each
field it makes a path and an `info`, calls the resolver, completes the value by its type, and checks
for awaitables. Most fields of a response are strings and numbers of a row, which all of that
returns unchanged. It took half of the CPU of a page of orders.
"""

from collections.abc import Awaitable, Mapping
from typing import Any

from graphql import Executor, GraphQLField, GraphQLObjectType, Undefined
from graphql.execution.collect_fields import GroupedFieldSet
from graphql.pyutils import AwaitableOrValue, Path
from graphql.type import get_nullable_type

type _Row = dict[str, Any]

_BITS = 31  # of a positive `Int`


class Member:
    """The resolver of a field that is a member of a row.

    Args:
        name: the member's name.
        field: the field.
        unchanged: scalars, with the type whose values each of them returns unchanged.

    Attributes:
        name: likewise.
        types: the types whose values are the field's value, unchanged.
    """

    __slots__ = ("name", "types")

    def __init__(self, name: str, field: GraphQLField, *, unchanged: Mapping[str, type]) -> None:
        self.name = name
        kind = get_nullable_type(field.type)
        plain = {unchanged[str(kind)]} if str(kind) in unchanged else set()
        self.types = frozenset(plain if kind is not field.type else {*plain, type(None)})

    def __call__(self, row: _Row, _info: object) -> object:
        """Return the member; None without."""
        return row.get(self.name)

    def plain(self, row: _Row) -> object:
        """Return the member if it is the field's value, unchanged; otherwise Undefined."""
        value: Any = row.get(self.name)
        kind = type(value)
        if kind not in self.types or (kind is int and value.bit_length() > _BITS):
            return Undefined
        return value


class RowExecutor(Executor[None]):
    """Executes operations. Fields that are no plain members take graphql-core's own way."""

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,  # noqa: ANN401 - any value of JSON
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: None,
    ) -> AwaitableOrValue[_Row]:
        """Return the values of the fields of an object, or an awaitable of them."""
        values: _Row = {}
        others: GroupedFieldSet = {}
        is_row = isinstance(source_value, dict)
        for name, details in grouped_field_set.items():
            field = parent_type.fields.get(details[0].node.name.value)
            member = field.resolve if is_row and field is not None else None
            plain = member.plain(source_value) if isinstance(member, Member) else Undefined
            values[name] = plain  # keeps the place of another
            if plain is Undefined:
                others[name] = details
        if not others:
            return values
        completed = super().execute_fields(
            parent_type, source_value, path, others, position_context
        )
        if isinstance(completed, dict):
            return values | completed
        return _merged(values, completed)


async def _merged(values: _Row, others: Awaitable[_Row]) -> _Row:
    return values | await others
