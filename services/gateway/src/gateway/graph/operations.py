"""Reads documents: parse, bound, validate, bound again by cost. Valid short documents are kept."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)

from chassis.errors import Malformed
from gateway.graph.costs import Costs, Shapes
from gateway.graph.failures import GraphqlLimitExceeded, refusal_of, refused_document
from gateway.graph.plans import Plans

_KEPT = 200
_KEPT_CHARACTERS = 2000
_ERRORS_TOLD = 20
_TOO_MUCH = "Parsing aborted"  # ends each error about a limit of the parser


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The limits of one document.

    Attributes:
        tokens: the most tokens.
        depth: the most fields within each other.
        aliases: the most fields with another name, or repeated in a selection.
        cost: the largest cost; see `Costs`.
    """

    tokens: int
    depth: int
    aliases: int
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation that may be executed.

    Attributes:
        document: its document.
        plans: how its rows are read.
        name: the name of the operation in its document; None if it is the only one.
        kind: query, mutation or subscription.
        variables: the variables as they were sent.
        cost: its cost.
    """

    document: DocumentNode
    plans: Plans
    name: str | None
    kind: OperationType
    variables: dict[str, Any]
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """A valid document.

    Attributes:
        node: the document.
        plans: its plans; None if each operation needs its own, since directives leave out fields.
        costs: computes the costs of its operations.
    """

    node: DocumentNode
    plans: Plans | None
    costs: Costs


class Operations:
    """Reads the documents of all clients.

    Args:
        schema: the schema.
        bounds: the limits of a document.
        introspection: whether clients may read the schema.
    """

    def __init__(self, schema: GraphQLSchema, bounds: Bounds, *, introspection: bool) -> None:
        self._schema = schema
        self._bounds = bounds
        self._rules = list(specified_rules)
        if not introspection:
            self._rules.append(NoSchemaIntrospectionCustomRule)
        self._kept: OrderedDict[str, _Document] = OrderedDict()

    def read(
        self, text: str, *, name: str | None, variables: Mapping[str, Any], request_id: str
    ) -> Operation:
        """Return the operation that a request means.

        Args:
            text: the document.
            name: `operationName`, if it was sent.
            variables: the variables.
            request_id: the id that errors show.

        Raises:
            OperationRefused: the document is not valid or exceeds a limit, or has no such
                operation.
        """
        try:
            document = self._document(text, request_id)
            node = _operation_of(document.node, name)
            cost = document.costs.of(node, variables)
            self._check("cost", cost, "Select fewer fields, or smaller pages.")
        except Malformed as error:
            raise refusal_of(error, request_id=request_id) from error
        return Operation(
            document=document.node,
            plans=document.plans or Plans(document.node),
            name=name,
            kind=node.operation,
            variables=dict(variables),
            cost=cost,
        )

    def _document(self, text: str, request_id: str) -> _Document:
        kept = self._kept.get(text)
        if kept is not None:
            self._kept.move_to_end(text)
            return kept
        document = self._parsed(text, request_id)
        self._check_shapes(document)
        errors = validate(self._schema, document, self._rules, max_errors=_ERRORS_TOLD)
        if errors:
            raise refused_document(errors, request_id=request_id)
        if len(text) <= _KEPT_CHARACTERS:
            # Without locations it needs a fraction of the memory, for they hold all tokens.
            self._kept[text] = self._of(parse(text, no_location=True), text)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._of(document, text)

    def _of(self, node: DocumentNode, text: str) -> _Document:
        plans = None if "@" in text else Plans(node)
        return _Document(node=node, plans=plans, costs=Costs(self._schema, node))

    def _parsed(self, text: str, request_id: str) -> DocumentNode:
        most = self._bounds.tokens
        try:
            return parse(text, max_lexical_tokens=most, max_comments=most)
        except GraphQLError as error:
            if _TOO_MUCH in error.message:
                detail = f"{error.message.rstrip('.')}. Send a smaller document."
                raise GraphqlLimitExceeded(detail, limit="tokens", most=most) from error
            raise refused_document([error], request_id=request_id) from error

    def _check_shapes(self, document: DocumentNode) -> None:
        """Check all operations and fragments: what they repeat, validation compares in pairs."""
        shapes = Shapes(document)
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode | FragmentDefinitionNode):
                try:
                    shape = shapes.of(node)
                except RecursionError as error:
                    most = self._bounds.depth
                    detail = "The fragments use each other too deeply. Use fewer of them."
                    raise GraphqlLimitExceeded(detail, limit="depth", most=most) from error
                self._check("depth", shape.depth, "Nest fewer fields.")
                self._check("aliases", shape.aliases, "Send several requests.")

    def _check(self, limit: str, count: int, advice: str) -> None:
        most: int = getattr(self._bounds, limit)
        if count > most:
            detail = f"The operation's {limit} is {count}, and may be {most}. {advice}"
            raise GraphqlLimitExceeded(detail, limit=limit, most=most)


def _operation_of(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    node = get_operation_ast(document, name)
    if node is None:
        wanted = "Name one of its operations in `operationName`."
        message = (
            f"The document has several operations, or none. {wanted}"
            if name is None
            else f"The document has no operation {name[:64]!r}. {wanted}"
        )
        raise Malformed(message)
    return node
