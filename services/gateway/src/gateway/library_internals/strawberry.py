"""The graphql-core schema inside a strawberry schema.

Strawberry parses, validates and executes with its own method, which takes no parsed document and
has no place for limits between parsing and validation.
"""

import strawberry
from graphql import GraphQLSchema


def core_schema(schema: strawberry.Schema) -> GraphQLSchema:
    """Return the schema that graphql-core executes."""
    return schema._schema
