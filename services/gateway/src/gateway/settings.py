"""What the gateway reads at start."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Self

from limits import RateLimitItem, parse
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from chassis.sessions import TokenSettings
from chassis.settings import Environment, ProcessSettings


def _parts(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _is_rate(value: str) -> str:
    parse(value)
    return value


def _is_valkey(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("valkey://", "valkeys://")):
        message = "must begin with valkey:// or, for TLS, valkeys://"
        raise ValueError(message)
    return value


Rate = Annotated[str, AfterValidator(_is_rate)]
BaseUrl = Annotated[str, Field(pattern=r"^https?://[^/?#@\s]+$")]
Origin = Annotated[str, Field(pattern=r"^(\*|null|[a-z][a-z0-9+.-]*://[^/?#@\s]+)$")]


class GatewaySettings(ProcessSettings, TokenSettings):
    """Settings of the gateway's process."""

    users_url: BaseUrl = Field(description="The users service: `http://host:port`.")
    orders_url: BaseUrl = Field(description="The orders service: `http://host:port`.")
    notifications_url: BaseUrl = Field(description="The notifications service.")
    upstream_connections: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Connections to each service; a request beyond them waits for one.",
    )
    upstream_connect_timeout: float = Field(
        default=2.0, gt=0, le=60, description="Seconds in which a service must accept a connection."
    )

    valkey_url: Annotated[SecretStr, AfterValidator(_is_valkey)] = Field(
        description="Where the rate limits count across replicas: `valkey://host:port/0`."
    )
    slipway_limits: str = Field(
        default="on",
        pattern="^(on|off)$",
        description="`off` lifts the rate limits; production refuses that.",
    )
    limit_default: Rate = Field(
        default="500/second", description="Requests of one user, or of one address without token."
    )
    limit_registration: Rate = Field(
        default="50/minute", description="Registrations from one address."
    )
    limit_login: Rate = Field(default="100/minute", description="Log-ins from one address.")
    limit_documents: Rate = Field(
        default="20/second", description="Reads of /docs and each document from one address."
    )

    trusted_proxies: Annotated[
        tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_parts)
    ] = Field(
        default=(),
        description="Networks (CIDR, comma-separated) whose X-Forwarded-* headers are believed.",
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
            message = "SLIPWAY_LIMITS=off is for development: remove it, or raise the LIMIT_* rates"
            raise ValueError(message)
        if "*" in self.cors_allow_origins and self.cors_allow_credentials:
            message = (
                "CORS_ALLOW_ORIGINS=* with CORS_ALLOW_CREDENTIALS would let any page act for a "
                "user: name the origins"
            )
            raise ValueError(message)
        return self

    @property
    def upstream_urls(self) -> dict[str, str]:
        """The address of each service, by its name in the route table."""
        return {
            "users": self.users_url,
            "orders": self.orders_url,
            "notifications": self.notifications_url,
        }

    @property
    def rates(self) -> dict[str, RateLimitItem]:
        """The rate of each limit class, by its name in the route table."""
        return {
            "default": parse(self.limit_default),
            "registration": parse(self.limit_registration),
            "login": parse(self.limit_login),
        }
