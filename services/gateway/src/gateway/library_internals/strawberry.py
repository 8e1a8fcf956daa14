"""The graphql-core schema inside a strawberry schema.

Strawberry parses, validates and executes with its own method, which takes no parsed document and
has no place for limits between parsing and validation.
"""

from collections.abc import Iterator

import strawberry
from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField


def core_schema(schema: strawberry.Schema) -> GraphQLSchema:
    """Return the schema that graphql-core executes."""
    return schema._schema


def attributes(schema: GraphQLSchema) -> Iterator[tuple[str, GraphQLField]]:
    """Yield the fields of objects that have no resolver, with their names in Python."""
    for kind in schema.type_map.values():
        for field in kind.fields.values() if isinstance(kind, GraphQLObjectType) else ():
            own = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
            if isinstance(own, StrawberryField) and own.is_basic_field:
                yield own.python_name, field
