"""Addresses and data directories of the system on one machine.

Each is a setting with a default; its name in upper case works in the environment and in `.env`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, SecretStr, create_model, model_validator
from pydantic_settings import NoDecode

from chassis.addresses import Servers
from chassis.database.urls import PostgresUrl
from chassis.settings import SAMPLE_SECRET, Environment, KafkaSecuritySettings, Settings
from slipway.services import SERVICES, role_names

HOST = "127.0.0.1"
PORT_SUFFIX = "_port"
_MOST_OFFSET = 50_000
SECOND_SYSTEM = "SLIPWAY_PORT_OFFSET=100"
"""Moves all ports of a second system, to none that a first one has: theirs are 1,000 apart."""


def _port(default: int, what: str) -> int:
    field: int = Field(default=default, ge=1, le=65535, description=f"The port of {what}.")
    return field


def _counts(value: object) -> object:
    if not isinstance(value, str):
        return value
    counts: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        name, equals, count = part.partition("=")
        if not equals or name in counts:
            message = (
                f"{part!r} is not TOPIC=COUNT, or names a topic twice. Write it as "
                "slipway.orders=12."
            )
            raise ValueError(message)
        counts[name] = count
    return counts


def _wait() -> float:
    field: float = Field(
        default=10, ge=0, le=3600, description="Seconds to wait for a server that still starts."
    )
    return field


def _role_password(role: str) -> Any:  # noqa: ANN401 - a field of a model made at run time
    return (SecretStr, Field(min_length=1, description=f"The password of the role {role}."))


def _service_ports() -> Iterator[tuple[str, Any]]:
    """Yield a field for each port of each service: 8001 and up, and 9001 and up for probes."""
    for index, service in enumerate(SERVICES):
        yield f"{service}_port", (int, _port(8001 + index, f"the {service} service"))
        for offset, process in enumerate(("", "_worker")):
            what = f"the probes and metrics of {service}{process.replace('_', '-')}"
            port = _port(9001 + 2 * index + offset, what)
            yield f"{service}{process}_internal_port", (int, port)


_RolePasswords = create_model(
    "_RolePasswords",
    __base__=Settings,
    **{f"{role}_password": _role_password(role) for role in role_names()},
)
_ServicePorts = create_model("_ServicePorts", __base__=Settings, **dict(_service_ports()))


class BrokerSettings(KafkaSecuritySettings):
    """Settings for the connection to Kafka."""

    kafka_bootstrap_servers: Servers | None = Field(
        default=None,
        description="`host:port` of a broker of your own; unset: one is started on KAFKA_PORT.",
    )
    slipway_port_offset: int = Field(
        default=0,
        ge=0,
        le=_MOST_OFFSET,
        description="Added to each port that is not set itself: for a second system beside the "
        "first, `100` moves all of its ports, the gateway to 8100.",
    )
    kafka_port: int = _port(9092, "the local Kafka")
    kafka_topic_prefix: str = Field(
        default="", description="Prefix of each topic and group, on a broker that is shared."
    )
    kafka_topic_partitions: Annotated[
        dict[str, Annotated[int, Field(ge=1)]], NoDecode, BeforeValidator(_counts)
    ] = Field(
        default={},
        description="Partition counts that are accepted in place of the declared ones: "
        "`slipway.orders=12`, comma-separated; see docs/runbooks/events.md.",
    )

    @model_validator(mode="before")
    @classmethod
    def _move_ports(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Move the ports of every command, so that all of them look at the same system."""
        try:
            offset = int(given.get("slipway_port_offset", 0))
        except ValueError:
            return given  # the field's own validation names it
        if not 0 <= offset <= _MOST_OFFSET:
            return given  # likewise; the moved ports would be named as well
        ports = {
            name: field.default + offset
            for name, field in cls.model_fields.items()
            if name.endswith(PORT_SUFFIX)
        }
        return {**ports, **given}

    @model_validator(mode="after")
    def _security_is_for_an_own_broker(self) -> Self:
        if self.kafka_security_protocol != "PLAINTEXT" and self.kafka_bootstrap_servers is None:
            message = (
                f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} needs a broker of your "
                "own, as the local Kafka uses PLAINTEXT. Set KAFKA_BOOTSTRAP_SERVERS as well."
            )
            raise ValueError(message)
        return self

    @property
    def brokers(self) -> str:
        """Return the bootstrap servers, local or external."""
        return self.kafka_bootstrap_servers or f"{HOST}:{self.kafka_port}"


class TopicSettings(BrokerSettings):
    """Settings for the creation of topics."""

    kafka_topic_replication_factor: int | None = Field(
        default=None,
        ge=1,
        le=10,
        description="Replicas of a new topic; unset: 3, or as many as there are brokers.",
    )
    kafka_topic_min_insync_replicas: int | None = Field(
        default=None,
        ge=1,
        le=10,
        description="Replicas that must have an event; unset: 2 of 3 or more, else 1.",
    )
    startup_wait: float = _wait()


class DoctorSettings(TopicSettings):
    """Settings of `slipway doctor --inside`."""

    database_superuser_url: PostgresUrl = Field(
        description="`postgresql://…` of a role that may read the catalogue and all schemas."
    )
    database_name: str = Field(
        default="slipway", pattern="^[a-z][a-z0-9_]*$", description="The database of all services."
    )


class BootstrapSettings(_RolePasswords):
    """Settings of `slipway db bootstrap`."""

    database_superuser_url: PostgresUrl = Field(
        description="`postgresql://…` of a role that may create databases, roles and schemas."
    )
    database_name: str = Field(
        default="slipway", pattern="^[a-z][a-z0-9_]*$", description="The database of all services."
    )
    startup_wait: float = _wait()

    @property
    def passwords(self) -> dict[str, str]:
        """Return the passwords by role."""
        suffix = "_password"
        return {
            name.removesuffix(suffix): getattr(self, name).get_secret_value()
            for name in type(self).model_fields
            if name.endswith(suffix)
        }


class SeedSettings(Settings):
    """Settings of `slipway seed`, whose data only development may have."""

    first_admin_email: str = Field(
        default="admin@example.com", description="The e-mail address of the first administrator."
    )
    first_admin_password: SecretStr = Field(
        default=SecretStr(SAMPLE_SECRET), description="The password of the first administrator."
    )


class SlipwaySettings(_ServicePorts, BrokerSettings, SeedSettings):
    """Settings of `slipway up`."""

    environment: Environment = Field(
        default=Environment.DEVELOPMENT,
        description="`development`; this command runs the system on one machine, for development.",
    )
    totp_keys: SecretStr = Field(
        default=SecretStr(f"{SAMPLE_SECRET}-{SAMPLE_SECRET}"),
        description="The keys that encrypt TOTP secrets, the newest first.",
    )
    unsubscribe_keys: SecretStr = Field(
        default=SecretStr(f"{SAMPLE_SECRET}-{SAMPLE_SECRET}"),
        description="The keys that sign the links with which mails are switched off.",
    )
    webhook_keys: SecretStr = Field(
        default=SecretStr(f"{SAMPLE_SECRET}-{SAMPLE_SECRET}"),
        description="The keys that encrypt the secrets of webhooks, the newest first.",
    )
    slipway_state_dir: Path = Field(
        default=Path(".slipway"),
        description="The directory of data, keys and logs; relative to the top of the repository.",
    )

    gateway_port: int = _port(8000, "the gateway, the one address that clients use")
    gateway_internal_port: int = _port(9000, "the gateway's probes and metrics")

    postgres_port: int = _port(5433, "the local Postgres")
    valkey_port: int = _port(6380, "the local Valkey")
    smtp_port: int = _port(1025, "the mail sink")
    traces_port: int = _port(4318, "the trace sink (OTLP over HTTP)")

    database_owner_url: PostgresUrl | None = Field(
        default=None,
        description="For `slipway migrate SERVICE` elsewhere: `postgresql://…` of its owner role.",
    )
    slipway_limits: str = Field(
        default="on", pattern="^(on|off)$", description="`off` lifts the rate limits."
    )

    def port_of(self, process: str, kind: str = "port") -> int:
        """Return the port of a process: its `port`, or its `internal_port`."""
        port: int = getattr(self, f"{process.replace('-', '_')}_{kind}")
        return port

    @property
    def gateway_url(self) -> str:
        """Return the address of the API."""
        return f"http://{HOST}:{self.gateway_port}"

    @property
    def traces_url(self) -> str:
        """Return the address of the trace sink."""
        return f"http://{HOST}:{self.traces_port}"
