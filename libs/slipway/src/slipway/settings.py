"""Where everything listens and where its data stands on one machine.

Each is a setting with a default; its name in upper case works in the environment and in `.env`.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from chassis.settings import SAMPLE_SECRET, Environment, KafkaSecuritySettings, Settings

HOST = "127.0.0.1"


def _port(default: int, what: str) -> int:
    field: int = Field(default=default, ge=1, le=65535, description=f"The port of {what}.")
    return field


def _wait() -> float:
    field: float = Field(
        default=10, ge=0, le=3600, description="Seconds to wait for a server that still starts."
    )
    return field


def _password(role: str) -> SecretStr:
    field: SecretStr = Field(min_length=1, description=f"The password of the role {role}.")
    return field


class BrokerSettings(KafkaSecuritySettings):
    """How the Kafka broker is found."""

    kafka_bootstrap_servers: str | None = Field(
        default=None,
        description="`host:port` of a broker of your own; unset: one is started on KAFKA_PORT.",
    )
    kafka_port: int = _port(9092, "the local Kafka")
    kafka_topic_prefix: str = Field(
        default="", description="Goes before each topic and group, on a broker that is shared."
    )

    @model_validator(mode="after")
    def _security_is_for_an_own_broker(self) -> Self:
        if self.kafka_security_protocol != "PLAINTEXT" and self.kafka_bootstrap_servers is None:
            message = (
                f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} is for a broker of your "
                "own: set KAFKA_BOOTSTRAP_SERVERS as well (the local Kafka listens in PLAINTEXT)"
            )
            raise ValueError(message)
        return self

    @property
    def brokers(self) -> str:
        """The bootstrap servers, local or outside."""
        return self.kafka_bootstrap_servers or f"{HOST}:{self.kafka_port}"


class TopicSettings(BrokerSettings):
    """How topics are created."""

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


class BootstrapSettings(Settings):
    """What `slipway db bootstrap` needs to know."""

    database_superuser_url: SecretStr = Field(
        description="`postgresql://…` of a role that may create databases, roles and schemas."
    )
    database_name: str = Field(
        default="slipway", pattern="^[a-z][a-z0-9_]*$", description="The database of all services."
    )
    startup_wait: float = _wait()
    users_owner_password: SecretStr = _password("users_owner")
    users_runtime_password: SecretStr = _password("users_runtime")
    orders_owner_password: SecretStr = _password("orders_owner")
    orders_runtime_password: SecretStr = _password("orders_runtime")
    notifications_owner_password: SecretStr = _password("notifications_owner")
    notifications_runtime_password: SecretStr = _password("notifications_runtime")

    @property
    def passwords(self) -> dict[str, str]:
        """By role."""
        suffix = "_password"
        return {
            name.removesuffix(suffix): getattr(self, name).get_secret_value()
            for name in type(self).model_fields
            if name.endswith(suffix)
        }


class SeedSettings(Settings):
    """What `slipway seed` needs to know; it makes what only development may have."""

    first_admin_email: str = Field(
        default="admin@example.com", description="The account that is an admin from the start."
    )
    first_admin_password: SecretStr = Field(
        default=SecretStr(SAMPLE_SECRET), description="The first admin's password."
    )


class SlipwaySettings(BrokerSettings, SeedSettings):
    """What `slipway up` needs to know."""

    environment: Environment = Field(
        default=Environment.DEVELOPMENT,
        description="`development`; this command runs the system on one machine, for development.",
    )
    slipway_state_dir: Path = Field(
        default=Path(".slipway"),
        description="Where data, keys and logs stand; relative to the top of the repository.",
    )

    gateway_port: int = _port(8000, "the gateway, the one address that clients use")
    users_port: int = _port(8001, "the users service")
    orders_port: int = _port(8002, "the orders service")
    notifications_port: int = _port(8003, "the notifications service")

    gateway_internal_port: int = _port(9000, "the gateway's probes and metrics")
    users_internal_port: int = _port(9001, "the users service's probes and metrics")
    users_worker_internal_port: int = _port(9002, "the users worker's probes and metrics")
    orders_internal_port: int = _port(9003, "the orders service's probes and metrics")
    orders_worker_internal_port: int = _port(9004, "the orders worker's probes and metrics")
    notifications_internal_port: int = _port(9005, "the notifications service's probes and metrics")
    notifications_worker_internal_port: int = _port(
        9006, "the notifications worker's probes and metrics"
    )

    postgres_port: int = _port(5433, "the local Postgres")
    valkey_port: int = _port(6380, "the local Valkey")
    smtp_port: int = _port(1025, "the mail sink")
    traces_port: int = _port(4318, "the trace sink (OTLP over HTTP)")

    database_owner_url: SecretStr | None = Field(
        default=None,
        description="For `slipway migrate SERVICE` elsewhere: `postgresql://…` of its owner role.",
    )
    slipway_limits: str = Field(
        default="on", pattern="^(on|off)$", description="`off` lifts the rate limits."
    )

    @property
    def gateway_url(self) -> str:
        """The address of the API."""
        return f"http://{HOST}:{self.gateway_port}"

    @property
    def traces_url(self) -> str:
        """The address of the trace sink."""
        return f"http://{HOST}:{self.traces_port}"
