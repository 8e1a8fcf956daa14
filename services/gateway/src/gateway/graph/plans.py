"""Reads rows as objects of a response, by plans that are made once for each selection.

Most fields of a response are members of a service's row, unchanged. For each of them, graphql-core
makes a path and an `info`, calls a resolver, completes the value by its type, and checks for
awaitables: nine tenths of the CPU of a page of orders. A plan reads a row with all rows in it. It
knows no errors: a row that is not as expected is left to graphql-core, which reports what is wrong.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLEnumType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    Undefined,
    get_named_type,
    is_list_type,
)
from graphql.type import GraphQLOutputType, get_nullable_type

from gateway.graph.loaders import Loader
from gateway.graph.scalars import UNCHANGED
from gateway.library_internals.graphql_core import Collect, Details

_BITS = 31  # of a positive `Int`

type _Row = dict[str, Any]
type _Request = asyncio.Task[None]
type _Read = Callable[[Any, Any], Any]
"""Returns the value of a response for one of a row and the context; Undefined if unexpected."""
type _Entry = tuple[str, str, frozenset[type] | None, _Read]
"""How one field is read: its name in the response; the member of the row; the types whose values
are the field's value, unchanged, or None if `_Read` returns it."""


class Member:
    """The resolver of a field that is a member of a row.

    Args:
        name: the member's name.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, row: _Row, _info: object) -> object:
        """Return the member; None without."""
        return row.get(self.name)


class Joined:
    """The resolver of a field that is a row of its own, which a loader loads.

    Args:
        name: the member of the row that is the other one's id.
        loader: returns the loader of an operation's context.
    """

    __slots__ = ("loader", "name")

    def __init__(self, name: str, loader: Callable[[Any], Loader[_Row]]) -> None:
        self.name = name
        self.loader = loader

    def __call__(self, row: _Row, info: GraphQLResolveInfo[Any]) -> object:
        """Return an awaitable of the other row."""
        return self.loader(info.context).load(row[self.name])


@dataclass(slots=True)
class Plan:
    """How the rows of one selection are read.

    Attributes:
        entries: its fields.
        joined: those that are rows of their own.
        inner: the members whose rows are joined with others, with their plans.
    """

    entries: list[_Entry] = field(default_factory=list)
    joined: list[Joined] = field(default_factory=list)
    inner: list[tuple[str, "Plan"]] = field(default_factory=list)

    def requests(self, row: Any, context: Any) -> set[_Request]:  # noqa: ANN401 - JSON, and of any operation
        """Begin to load all rows that this one is joined with; return what is not loaded yet."""
        waiting: set[_Request] = set()
        if self.joined or self.inner:
            self.begin((row,), context, waiting)
        return waiting

    def begin(self, rows: Iterable[Any], context: Any, waiting: set[_Request]) -> None:  # noqa: ANN401 - likewise
        """Begin to load what some rows are joined with; add what is not loaded yet to `waiting`."""
        for row in rows:
            if type(row) is not dict:
                continue
            for one in self.joined:
                key = row.get(one.name)
                if type(key) is str:
                    request = one.loader(context).request(key)
                    if not request.done():
                        waiting.add(request)
            for member, plan in self.inner:
                value = row.get(member)
                plan.begin(value if type(value) is list else (value,), context, waiting)

    def read(self, row: Any, context: Any) -> Any:  # noqa: ANN401 - JSON, and of any operation
        """Return the row's object; Undefined if graphql-core must read it."""
        if type(row) is not dict:
            return Undefined
        values: _Row = {}
        for name, member, types, read in self.entries:
            value = row.get(member)
            if types is None:
                value = read(value, context)
                if value is Undefined:
                    return Undefined
            elif type(value) not in types:
                return Undefined
            values[name] = value
        return values


class Plans:
    """The plans of one document.

    Args:
        document: the document. Plans are known by the identity of its nodes, so they keep it.
    """

    def __init__(self, document: DocumentNode) -> None:
        self._document = document
        self._known: dict[tuple[str | int, ...], Plan | None] = {}

    def of(self, kind: GraphQLObjectType, details: Details, collect: Collect) -> Plan | None:
        """Return the plan of a selection; None if a field of it has a resolver of its own.

        Args:
            kind: the type of the objects.
            details: the fields whose selection it is.
            collect: collects the fields of a selection.
        """
        key: tuple[str | int, ...] = (kind.name, *[id(one.node) for one in details])
        if key not in self._known:
            self._known[key] = self._made(kind, details, collect)
        return self._known[key]

    def _made(self, kind: GraphQLObjectType, details: Details, collect: Collect) -> Plan | None:
        plan = Plan()
        for name, more in collect(kind, details).items():
            field_name = more[0].node.name.value
            if field_name == "__typename":
                plan.entries.append((name, "", None, _constant(kind.name)))
                continue
            own = kind.fields[field_name]
            named = get_named_type(own.type)
            inner = self.of(named, more, collect) if isinstance(named, GraphQLObjectType) else None
            read = _reader(own.type, inner)
            if read is None or not isinstance(own.resolve, Member | Joined):
                return None
            member, types = own.resolve.name, _types(own.type)
            if isinstance(own.resolve, Joined):
                plan.joined.append(own.resolve)
                types, read = None, _joined(own.resolve, read)
            elif inner is not None and (inner.joined or inner.inner):
                plan.inner.append((member, inner))
            plan.entries.append((name, member, types, read))
        return plan


def _types(kind: GraphQLOutputType) -> frozenset[type] | None:
    """Return the types of the values that are a field's value, unchanged; None if more matters."""
    nullable = get_nullable_type(kind)
    types = UNCHANGED.get(str(nullable))
    return types if types is None or kind is not nullable else types | {type(None)}


def _reader(kind: GraphQLOutputType, inner: Plan | None) -> _Read | None:
    """Return what reads the values of a type; `inner` reads the objects in them."""
    nullable = get_nullable_type(kind)
    read: _Read | None = None
    if is_list_type(nullable):
        each = _reader(nullable.of_type, inner)
        read = None if each is None else _list(each)
    elif inner is not None:
        read = inner.read
    elif isinstance(nullable, GraphQLEnumType):
        read = _enum(nullable)
    elif str(nullable) == "Int":
        read = _int
    elif types := UNCHANGED.get(str(nullable)):
        read = _scalar(types)
    return read if read is None or kind is not nullable else _nullable(read)


def _constant(text: str) -> _Read:
    return lambda _value, _context: text


def _nullable(read: _Read) -> _Read:
    return lambda value, context: None if value is None else read(value, context)


def _scalar(types: frozenset[type]) -> _Read:
    return lambda value, _context: value if type(value) in types else Undefined


def _int(value: Any, _context: object) -> Any:  # noqa: ANN401 - JSON
    return value if type(value) is int and value.bit_length() <= _BITS else Undefined


def _enum(kind: GraphQLEnumType) -> _Read:
    names = {one.value: kind.coerce_output_value(one.value) for one in kind.values.values()}
    return lambda value, _context: names.get(value, Undefined) if type(value) is str else Undefined


def _joined(joined: Joined, read: _Read) -> _Read:
    def read_other(key: Any, context: Any) -> Any:  # noqa: ANN401 - JSON, and of any operation
        row = joined.loader(context).found.get(key, Undefined) if type(key) is str else Undefined
        return row if row is Undefined else read(row, context)

    return read_other


def _list(read: _Read) -> _Read:
    def read_all(rows: Any, context: Any) -> Any:  # noqa: ANN401 - JSON, and of any operation
        if type(rows) is not list:
            return Undefined
        values = []
        for row in rows:
            value = read(row, context)
            if value is Undefined:
                return Undefined
            values.append(value)
        return values

    return read_all
