"""The schema. `python -m gateway.document` writes it to ``services/gateway/schema.graphql``."""

import strawberry
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from gateway.graph.mutations import Mutation
from gateway.graph.objects import JOINED
from gateway.graph.plans import Member
from gateway.graph.queries import Query
from gateway.graph.scalars import SCALARS
from gateway.graph.subscriptions import Subscription
from gateway.library_internals.strawberry import attributes, core_schema


def _built() -> strawberry.Schema:
    config = StrawberryConfig(scalar_map=SCALARS)
    return strawberry.Schema(Query, Mutation, Subscription, config=config)


def build_schema() -> GraphQLSchema:
    """Return the schema that operations are executed with."""
    schema = core_schema(_built())
    for own, field in attributes(schema):
        field.resolve = own.metadata.get(JOINED) or Member(own.python_name)
    return schema


def schema_text() -> str:
    """Return the schema in SDL."""
    return _built().as_str() + "\n"
