"""The gateway's settings, read at start."""

from typing import Annotated, Any, Self

from limits import RateLimitItem, parse
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    create_model,
    model_validator,
)
from pydantic_settings import NoDecode

from chassis.addresses import checked_url, names_a_server
from chassis.ended_sessions import TokenSettings
from chassis.settings import Environment, ProcessSettings, Settings
from gateway.graphql_settings import GraphqlSettings
from gateway.routes import SERVICES

EXPORTS_AT_A_TIME = 4
"""How many exports one process serves at a time. Each may need 8 MiB of memory per service."""


def _parts(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _is_rate(value: str) -> str:
    parse(value)
    return value


def _is_valkey(value: SecretStr) -> SecretStr:
    # Its own error, since one of urlsplit may quote a part of the password.
    if not names_a_server(value.get_secret_value(), schemes={"valkey", "valkeys"}):
        message = (
            "must be valkey://host:6379/0 or, for TLS, valkeys://host:6379/0, with special "
            "characters of a password as %40 (@), %2F (/), %3A (:), %23 (#), %3F (?)"
        )
        raise ValueError(message)
    return value


Rate = Annotated[str, AfterValidator(_is_rate)]
BaseUrl = Annotated[str, Field(pattern=r"^https?://[^/?#@\s]+$"), AfterValidator(checked_url)]
Origin = Annotated[str, Field(pattern=r"^(\*|null|[a-z][a-z0-9+.-]*://[^/?#@\s]+)$")]


def _upstream_url(service: str) -> Any:  # noqa: ANN401 - a field of a model made at run time
    return (BaseUrl, Field(description=f"The {service} service: `http://host:port`."))


_UpstreamUrls = create_model(
    "_UpstreamUrls",
    __base__=Settings,
    **{f"{name}_url": _upstream_url(name) for name in SERVICES},
)


class GatewaySettings(_UpstreamUrls, ProcessSettings, TokenSettings, GraphqlSettings):
    """Settings of the gateway's process."""

    upstream_connections: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Connections for requests to each service. A further request waits for a free "
        "one. WebSockets have connections of their own.",
    )
    upstream_connect_timeout: float = Field(
        default=2.0, gt=0, le=60, description="Seconds in which a service must accept a connection."
    )

    websockets: int = Field(
        default=5_000,
        ge=1,
        description="WebSockets that this process accepts; a further handshake gets 503. Each "
        "takes two file descriptors and about 25 KB.",
    )
    websocket_idle_timeout: float = Field(
        default=300.0,
        gt=0,
        le=24 * 3600,
        description="Seconds after which a proxied WebSocket is closed (1001) if neither side sent "
        "anything. A client's answer to a ping counts; the gateway sends one every 20 s.",
    )
    websockets_silent_per_address: int = Field(
        default=500,
        ge=1,
        description="WebSockets of one client address that have not sent their first message; a "
        "further handshake gets 429. SLIPWAY_LIMITS=off lifts this limit.",
    )
    stream_idle_timeout: float = Field(
        default=60.0,
        gt=0,
        le=24 * 3600,
        description="Seconds after which a stream of events is ended if its service sent nothing; "
        "a heartbeat counts. The client connects again.",
    )
    streams: int = Field(
        default=2_000,
        ge=1,
        description="Streams of events (SSE) that this process passes on; a further one gets 503. "
        "Each takes two file descriptors.",
    )
    upstream_password_share: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="The share of a service's connections for requests that hash a password "
        "(log-in, registration). A further one gets 503.",
    )
    upstream_warm_seconds: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="Seconds at start in which a first connection to each service is tried, before "
        "the gateway is ready; 0 tries none.",
    )
    upstream_concurrency: int = Field(
        default=1_000,
        ge=1,
        le=100_000,
        description="The most requests to each service at a time, with those that wait for a "
        "connection. The limit falls while the service is slow, at most to the responses of the "
        "service's best recent second or to 10. A further request gets 503.",
    )
    cache_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=0,
        description="Memory for copies of public responses, in bytes; 0 keeps none.",
    )

    valkey_url: Annotated[SecretStr, AfterValidator(_is_valkey)] = Field(
        description="The Valkey that counts the rate limits across replicas: `valkey://host:port/0`."
    )
    valkey_password: SecretStr | None = Field(
        default=None,
        description="Valkey's password, in place of one in the URL. As a file in "
        "SECRETS_DIRECTORY it is read again for each connection.",
    )
    valkey_timeout: float = Field(
        default=0.05,
        gt=0,
        le=5,
        description="Seconds in which Valkey must respond. After 3 failures in a row each process "
        "counts for itself, and tries Valkey again every 5 s.",
    )
    slipway_limits: str = Field(
        default="on",
        pattern="^(on|off)$",
        description="`off` lifts the rate limits; production rejects `off`.",
    )
    limit_default: Rate = Field(
        default="500/second", description="Requests of one user, or of one address without token."
    )
    limit_registration: Rate = Field(
        default="50/minute", description="Registrations from one address."
    )
    limit_login: Rate = Field(default="100/minute", description="Log-ins from one address.")
    limit_export: Rate = Field(
        default="10/minute", description="Exports of a person's data by one user."
    )
    limit_unsubscribe: Rate = Field(
        default="1000/minute",
        description="Unsubscriptions with the link of a mail from one address. Providers of "
        "mailboxes send those of all their users from a few addresses.",
    )
    limit_graphql: Rate = Field(
        default="100/second",
        description="GraphQL requests of one user, or of one address without token; each operation "
        "on a WebSocket counts.",
    )
    limit_api_key: Rate = Field(default="500/second", description="Requests with one API key.")
    limit_api_key_exchange: Rate = Field(
        default="100/minute",
        description="API keys from one address that a gateway has to exchange for an access token: "
        "unknown ones, and each valid one about every nine minutes.",
    )
    limit_documents: Rate = Field(
        default="20/second", description="Reads of /docs and each document from one address."
    )

    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_parts)] = (
        Field(
            default=(),
            description="Networks (CIDR, comma-separated) of proxies whose X-Forwarded-* headers, "
            "traces and baggage the gateway trusts.",
        )
    )
    trust_client_traces: bool = Field(
        default=False,
        description="Whether to follow the `traceparent` of every client, with its sampling flag, "
        "and not only that of trusted proxies; production rejects `true`.",
    )
    cors_allow_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_parts)] = Field(
        default=(),
        description="Origins (comma-separated) whose pages may call the API; `*` for any.",
    )
    cors_allow_credentials: bool = Field(
        default=False, description="Whether those pages may send cookies."
    )
    hsts_max_age: int = Field(
        default=0,
        ge=0,
        description="Seconds of Strict-Transport-Security; 0 sends none (no TLS in front).",
    )

    @model_validator(mode="after")
    def _fit_for_production(self) -> Self:
        if self.environment is not Environment.PRODUCTION:
            return self
        if self.slipway_limits == "off":
            message = (
                "SLIPWAY_LIMITS=off is for development only. Remove it, or raise the LIMIT_* rates."
            )
            raise ValueError(message)
        if self.trust_client_traces:
            message = (
                "TRUST_CLIENT_TRACES would let any client have all its requests recorded. Remove "
                "it, or name in TRUSTED_PROXIES the proxies whose traces to follow."
            )
            raise ValueError(message)
        if "*" in self.cors_allow_origins and self.cors_allow_credentials:
            message = (
                "CORS_ALLOW_ORIGINS=* with CORS_ALLOW_CREDENTIALS would let any page act for a "
                "user. Name the origins."
            )
            raise ValueError(message)
        return self

    @property
    def upstream_urls(self) -> dict[str, str]:
        """The address of each service, by its name in the route table."""
        return {name: getattr(self, f"{name}_url") for name in SERVICES}

    @property
    def introspects(self) -> bool:
        """Whether clients may read the GraphQL schema."""
        if self.graphql_introspection == "development":
            return self.environment is Environment.DEVELOPMENT
        return self.graphql_introspection == "on"

    @property
    def bulkheads(self) -> dict[str, int]:
        """How many connections each bulkhead class has, by its name in the route table."""
        return {
            "passwords": max(1, int(self.upstream_connections * self.upstream_password_share)),
            "exports": EXPORTS_AT_A_TIME,
            "streams": self.streams,
        }

    @property
    def rates(self) -> dict[str, RateLimitItem]:
        """The rate of each limit class, by its name in the route table."""
        return {
            "default": parse(self.limit_default),
            "registration": parse(self.limit_registration),
            "login": parse(self.limit_login),
            "export": parse(self.limit_export),
            "unsubscribe": parse(self.limit_unsubscribe),
            "graphql": parse(self.limit_graphql),
            "api_key": parse(self.limit_api_key),
            "api_key_exchange": parse(self.limit_api_key_exchange),
            "documents": parse(self.limit_documents),
        }
