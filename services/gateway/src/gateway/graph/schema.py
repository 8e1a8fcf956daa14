"""The schema. `python -m gateway.document` writes it to ``services/gateway/schema.graphql``."""

from typing import Any

import strawberry
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from gateway.graph.mutations import Mutation
from gateway.graph.queries import Query
from gateway.graph.scalars import SCALARS
from gateway.graph.subscriptions import Subscription
from gateway.library_internals.strawberry import core_schema


def _member(row: dict[str, Any], name: str) -> object:
    return row.get(name)


def _built() -> strawberry.Schema:
    config = StrawberryConfig(default_resolver=_member, scalar_map=SCALARS)
    return strawberry.Schema(Query, Mutation, Subscription, config=config)


def build_schema() -> GraphQLSchema:
    """Return the schema that operations are executed with."""
    return core_schema(_built())


def schema_text() -> str:
    """Return the schema in SDL."""
    return _built().as_str() + "\n"
