"""The graphql-core schema inside a strawberry schema.

Strawberry parses, validates and executes with its own method, which takes no parsed document and
has no place for limits between parsing and validation.
"""

from collections.abc import Iterator
from typing import Any

import strawberry
from graphql import GraphQLField, GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField


def core_schema(schema: strawberry.Schema) -> GraphQLSchema:
    """Return the schema that graphql-core executes."""
    return schema._schema


def core_info(info: strawberry.Info[Any, Any]) -> GraphQLResolveInfo[Any]:
    """Return what graphql-core passes to a resolver.

    Strawberry's `selected_fields` makes an object of each field below: 8 % of the CPU of a page.
    """
    return info._raw_info


def attributes(schema: GraphQLSchema) -> Iterator[tuple[StrawberryField, GraphQLField]]:
    """Yield the fields of objects that have no resolver, as declared and as executed."""
    for kind in schema.type_map.values():
        for field in kind.fields.values() if isinstance(kind, GraphQLObjectType) else ():
            own = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
            if isinstance(own, StrawberryField) and own.is_basic_field:
                yield own, field
