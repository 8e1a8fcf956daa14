"""The settings of GraphQL."""

from pydantic import Field

from chassis.http.limits import MAX_BODY_BYTES
from chassis.settings import Settings


class GraphqlSettings(Settings):
    """The limits of GraphQL, and what it reveals."""

    graphql_introspection: str = Field(
        default="development",
        pattern="^(development|on|off)$",
        description="Whether clients may read the GraphQL schema: `on`, `off`, or `development` "
        "for development alone.",
    )
    graphql_timeout: float = Field(
        default=10.0,
        gt=0,
        le=60,
        description="Seconds for a GraphQL operation; for a subscription, for each event.",
    )
    graphql_tokens: int = Field(
        default=1_000, ge=10, le=20_000, description="Tokens of a GraphQL document."
    )
    graphql_depth: int = Field(
        default=16, ge=1, le=100, description="Fields within each other in a GraphQL operation."
    )
    graphql_aliases: int = Field(
        default=30,
        ge=0,
        le=1_000,
        description="Fields of a GraphQL operation that have an alias, or are repeated.",
    )
    graphql_cost: int = Field(
        default=5_000,
        ge=10,
        description="The cost of a GraphQL request, about the number of values in its response: "
        "docs/guides/graphql.md.",
    )
    graphql_calls: int = Field(
        default=30, ge=1, le=1_000, description="Requests to services of a GraphQL operation."
    )
    graphql_batch: int = Field(
        default=5,
        ge=1,
        le=100,
        description="GraphQL operations of one request, in an array; 1 refuses arrays.",
    )
    graphql_body_bytes: int = Field(
        default=128 * 1024,
        ge=1024,
        le=MAX_BODY_BYTES,
        description="Bytes of the body of a GraphQL request.",
    )
    graphql_init_timeout: float = Field(
        default=5.0,
        gt=0,
        le=60,
        description="Seconds in which a GraphQL WebSocket must send `connection_init`.",
    )
    graphql_idle_timeout: float = Field(
        default=300.0,
        gt=0,
        le=24 * 3600,
        description="Seconds after which a GraphQL WebSocket without operations is closed.",
    )
    graphql_socket_operations: int = Field(
        default=20, ge=1, le=1_000, description="GraphQL operations of one WebSocket at a time."
    )
