"""Settings that every process has, and where settings come from.

Sources, first wins: the environment, mounted secret files, ``.env``. A wrong or missing setting
stops the process at start with the setting's name.
"""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

SAMPLE_SECRET = "slipway-demo-only"  # noqa: S105 - the sample that production refuses


class Environment(StrEnum):
    """Where a process runs; production refuses what only development may have."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """The base of all settings: names are environment variables in upper case."""

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    environment: Environment = Field(
        default=Environment.PRODUCTION,
        description="`development` or `production`; production refuses sample secrets and debug.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put mounted secret files between the environment and ``.env``."""
        del file_secret_settings
        directory = Path(os.environ.get("SECRETS_DIRECTORY", "/run/secrets"))
        secrets = (
            (SecretsSettingsSource(settings_cls, secrets_dir=directory),)
            if directory.is_dir()
            else ()
        )
        return (init_settings, env_settings, *secrets, dotenv_settings)

    @model_validator(mode="after")
    def _refuse_samples_in_production(self) -> Self:
        if self.environment is Environment.DEVELOPMENT:
            return self
        for name in type(self).model_fields:
            value = getattr(self, name)
            text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            if SAMPLE_SECRET in text:
                message = (
                    f"{name.upper()} holds the sample secret, which production refuses: "
                    "set one of your own, or ENVIRONMENT=development"
                )
                raise ValueError(message)
        return self


class ProcessSettings(Settings):
    """What any process needs: a log, an internal listener, telemetry."""

    log_level: str = Field(
        default="INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="The lowest level that is logged: DEBUG, INFO, WARNING or ERROR.",
    )
    log_format: str = Field(
        default="json", pattern="^(json|console)$", description="`json`, or `console` for people."
    )
    host: str = Field(default="127.0.0.1", description="The address that the public port binds.")
    port: int = Field(default=8000, ge=0, le=65535, description="The public HTTP port.")
    internal_host: str = Field(
        default="127.0.0.1", description="The address that the internal port binds."
    )
    internal_port: int = Field(
        default=9000, ge=0, le=65535, description="The port of /healthz/* and /metrics."
    )
    shutdown_timeout: int = Field(
        default=20, ge=1, le=600, description="Seconds that open requests get when stopping."
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        default=None, description="Where spans go (OTLP over HTTP); unset: spans are not exported."
    )
    otel_traces_sampler_arg: float = Field(
        default=0.1, ge=0, le=1, description="The share of traces that are sampled at their root."
    )


class KafkaSettings(Settings):
    """How to reach Kafka."""

    kafka_bootstrap_servers: str = Field(
        min_length=1, description="Comma-separated `host:port` of Kafka brokers."
    )
    kafka_topic_prefix: str = Field(
        default="",
        max_length=100,
        pattern=r"^[a-zA-Z0-9._-]*$",
        description="Goes before each topic and group, where environments share a cluster.",
    )
    kafka_session_timeout: float = Field(
        default=10,
        ge=1,
        le=300,
        description="Seconds after which a silent consumer's partitions go to another; brokers "
        "take 6 and more unless told otherwise.",
    )


class AuthSettings(Settings):
    """How access tokens are verified."""

    auth_issuer: str = Field(
        default="http://127.0.0.1:8000", description="The `iss` that tokens must carry."
    )
    auth_audience: str = Field(default="slipway", description="The `aud` that tokens must carry.")
    auth_jwks_file: Path = Field(description="The file with the public keys (a JWK set, RFC 7517).")


def load[S: BaseSettings](settings: type[S]) -> S:
    """Read the settings of this process, or exit with status 2 and the name of each wrong one."""
    try:
        return settings(_env_file=os.environ.get("SLIPWAY_ENV_FILE", ".env"))
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            place = f"setting {name}: " if name else ""
            print(f"{place}{problem['msg']}", file=sys.stderr)  # noqa: T201 - there is no log yet
        sys.exit(2)
    except SettingsError as error:  # names the field; its cause would quote the value
        text = f"{error}: a list or an object is written as JSON, and a file must be readable"
        print(text, file=sys.stderr)  # noqa: T201 - likewise
        sys.exit(2)
