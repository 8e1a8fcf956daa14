"""What a document asks for: how deep, how often by another name, and how many values.

Each fragment is measured once, so that fragments that use fragments cost no more than their text.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_list_type,
)
from graphql.type import GraphQLOutputType, get_nullable_type

_CALL = 10
"""The cost of a field that sends a request to a service, beside what it returns."""

_INTROSPECTION = 1000
_LINES = 5
"""How many lines of an order are assumed. It may have 100."""

_SIZE = "first"
_DEFAULT_SIZE = 20
_FURTHER = 10
_LARGEST = 2**31 - 1
"""The largest `Int`. Sizes are cut to it: Python refuses to convert a number of 4,301 digits."""

type _Sizes = dict[str, int]
type _Parent = GraphQLObjectType | GraphQLInterfaceType


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a document.

    Attributes:
        depth: the most fields within each other.
        aliases: fields with another name, and fields that a selection repeats.
    """

    depth: int
    aliases: int


def fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    """Return the fragments of a document, by their names."""
    return {
        node.name.value: node
        for node in document.definitions
        if isinstance(node, FragmentDefinitionNode)
    }


class Shapes:
    """Measures a document that may not be valid yet.

    Args:
        document: the document.
    """

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = fragments_of(document)
        self._known: dict[str, Shape] = {}
        self._open: set[str] = set()

    def of(self, node: OperationDefinitionNode | FragmentDefinitionNode) -> Shape:
        """Return the shape of an operation or fragment, with the fragments that it uses."""
        return self._of(node.selection_set)

    def _of(self, selections: SelectionSetNode | None) -> Shape:
        depth = aliases = 0
        seen: Counter[str] = Counter()
        for node in () if selections is None else selections.selections:
            if isinstance(node, FieldNode):
                inner = self._of(node.selection_set)
                depth = max(depth, 1 + inner.depth)
                aliases += inner.aliases
                seen[(node.alias or node.name).value] += 1
                aliases += node.alias is not None
            else:
                inner = self._within(node)
                depth = max(depth, inner.depth)
                aliases += inner.aliases
        return Shape(depth, aliases + sum(seen.values()) - len(seen))

    def _within(self, node: object) -> Shape:
        if isinstance(node, InlineFragmentNode):
            return self._of(node.selection_set)
        name = node.name.value if isinstance(node, FragmentSpreadNode) else ""
        fragment = self._fragments.get(name)
        if fragment is None or name in self._open:  # the validation rejects both
            return Shape(0, 0)
        if name not in self._known:
            self._open.add(name)
            self._known[name] = self._of(fragment.selection_set)
            self._open.discard(name)
        return self._known[name]


class Costs:
    """Estimates how many values the response of a valid operation has.

    Each field costs 1. A field of a list multiplies what is below it: by its argument `first`, or
    else by an assumed size. Fields of the roots, and products, cost 10 more.

    The last cost of each operation is kept with the sizes that it was computed for: clients send
    the same few operations, mostly with the same sizes.

    Args:
        schema: the schema.
        document: the valid document.
    """

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._fragments = fragments_of(document)
        self._last: dict[str, tuple[_Sizes, int]] = {}
        self._root: GraphQLObjectType | None = None
        self._sizes: _Sizes = {}
        self._known: dict[str, int] = {}

    def of(self, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> int:
        """Return the cost of an operation.

        Args:
            operation: the operation, of the document.
            variables: the variables as they were sent.
        """
        name = "" if operation.name is None else operation.name.value
        sizes = _sizes(operation, variables)
        last = self._last.get(name)
        if last is None or last[0] != sizes:
            self._sizes, self._known = sizes, {}
            last = self._last[name] = sizes, self._of_operation(operation)
        return last[1]

    def _of_operation(self, operation: OperationDefinitionNode) -> int:
        root = self._schema.get_root_type(operation.operation)
        if root is None:
            return 0
        self._root = root
        return self._of(operation.selection_set, root)

    def _of(self, selections: SelectionSetNode, parent: _Parent) -> int:
        return sum(self._cost(node, parent) for node in selections.selections)

    def _cost(self, node: object, parent: _Parent) -> int:
        if isinstance(node, FieldNode):
            # A call costs the same within a fragment: otherwise fragments would evade the limit.
            return (_CALL if parent is self._root else 0) + self._of_field(node, parent)
        if isinstance(node, InlineFragmentNode):
            return self._of(node.selection_set, parent)
        name = node.name.value if isinstance(node, FragmentSpreadNode) else ""
        if name not in self._known:
            self._known[name] = self._of(self._fragments[name].selection_set, parent)
        return self._known[name]

    def _of_field(self, node: FieldNode, parent: _Parent) -> int:
        name = node.name.value
        if name.startswith("__"):
            return 1 if node.selection_set is None else _INTROSPECTION
        field = parent.fields[name]
        inner = get_named_type(field.type)
        if node.selection_set is None or not isinstance(
            inner, GraphQLObjectType | GraphQLInterfaceType
        ):
            return 1
        own = 1 + (_CALL if (parent.name, name) in _CALLING else 0)
        return own + self._size(node, parent, field.type) * self._of(node.selection_set, inner)

    def _size(self, node: FieldNode, parent: _Parent, kind: GraphQLOutputType) -> int:
        if _SIZE in parent.fields[node.name.value].args:
            return self._first(node)
        if not is_list_type(get_nullable_type(kind)) or parent.name.endswith("Connection"):
            return 1
        return _LINES if parent.name == "Order" else _FURTHER

    def _first(self, node: FieldNode) -> int:
        for argument in node.arguments or ():
            if argument.name.value != _SIZE:
                continue
            if isinstance(argument.value, IntValueNode):
                return max(int(argument.value.value), 1)
            if isinstance(argument.value, VariableNode):
                return max(self._sizes.get(argument.value.name.value, _DEFAULT_SIZE), 1)
        return _DEFAULT_SIZE


def _sizes(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> _Sizes:
    """Return the values of the variables that are integers, or whose default is one."""
    sizes: _Sizes = {}
    for one in operation.variable_definitions or ():
        name, default = one.variable.name.value, one.default_value
        value = variables.get(name)
        if name not in variables and isinstance(default, IntValueNode):
            # Only a default of an `ID` can be longer, and none of those is a size.
            long = len(default.value) > len(str(-_LARGEST))
            sizes[name] = _LARGEST if long else int(default.value)
        elif isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
            sizes[name] = min(int(value), _LARGEST)  # `Int` accepts 100.0
    return sizes


_CALLING = frozenset({("OrderItem", "product"), ("OrderChange", "order")})
