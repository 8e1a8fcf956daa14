"""Settings that every process has, and the sources of settings.

Sources, in order of precedence: the environment, mounted secret files, ``.env``. A process with an
invalid or missing setting exits at start and names the setting.
"""

import contextlib
import os
import sys
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, FilePath, PrivateAttr, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from chassis.addresses import Servers, Url
from chassis.product import product
from chassis.settings_file import ENCODING, faults_of, settings_file

SAMPLE_SECRET = product().sample_secret
MAX_CONNECTIONS = 10_000


class _SecretFiles(SecretsSettingsSource):
    """The mounted files of secrets. An empty one counts as not set, as an empty variable does."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        text, key, is_complex = super().get_field_value(field, field_name)
        return text or None, key, is_complex


class Environment(StrEnum):
    """Where a process runs; production rejects what only development may have."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """The base of all settings: names are environment variables in upper case."""

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    environment: Environment = Field(
        default=Environment.PRODUCTION,
        description="`development` or `production`; production rejects the sample secrets.",
    )
    _files: dict[str, Path] = PrivateAttr(default_factory=dict)

    def secret(self, name: str) -> str | None:
        """Return the current value of a secret setting, or None if it is not set.

        A secret that came from a file is read again, because an orchestrator replaces the file when
        the secret changes. If the file can't be read or is empty, return the value from the start.
        """
        if name in self._files:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                if text := _text_of(self._files[name]):
                    return text
        value: SecretStr | None = getattr(self, name)
        return None if value is None else value.get_secret_value()

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
        directory = _secrets_directory()
        secrets = (_SecretFiles(settings_cls, secrets_dir=directory),) if directory.is_dir() else ()
        return (init_settings, env_settings, *secrets, dotenv_settings)

    @model_validator(mode="after")
    def _remember_files(self) -> Self:
        """Record which secrets came from a file: those whose file holds the setting's value."""
        for name in type(self).model_fields:
            value, file = getattr(self, name), _secrets_directory() / name
            if isinstance(value, SecretStr) and file.is_file():
                with contextlib.suppress(OSError):
                    if _text_of(file) == value.get_secret_value():
                        self._files[name] = file
        return self

    @model_validator(mode="after")
    def _refuse_samples_in_production(self) -> Self:
        if self.environment is Environment.DEVELOPMENT:
            return self
        for name in type(self).model_fields:
            value = getattr(self, name)
            text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            if SAMPLE_SECRET in text:
                message = (
                    f"{name.upper()} is the sample secret, which production rejects. "
                    "Set a secret of your own, or ENVIRONMENT=development."
                )
                raise ValueError(message)
        return self


def _secrets_directory() -> Path:
    return Path(os.environ.get("SECRETS_DIRECTORY", "/run/secrets"))


def _text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()  # as pydantic-settings reads it


class ProcessSettings(Settings):
    """The settings of every process: logs, listeners, telemetry."""

    log_level: str = Field(
        default="INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="The lowest level that is logged: DEBUG, INFO, WARNING or ERROR. "
        "/log-level of the internal port changes it for a while.",
    )
    log_format: str = Field(
        default="json",
        pattern="^(json|console)$",
        description="`json` for machines, or `console` for people.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="The address that the public port binds; `*`: all, of IPv4 and IPv6.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="The public HTTP port.")
    max_connections: int = Field(
        default=MAX_CONNECTIONS,
        ge=1,
        description="Connections to the public port at a time. A further one closes the one that "
        "has waited longest for a request. If none is waiting, the further one gets 503.",
    )
    internal_host: str = Field(
        default="127.0.0.1",
        description="The address that the internal port binds; `*`: all, of IPv4 and IPv6.",
    )
    internal_port: int = Field(
        default=9000,
        ge=0,
        le=65535,
        description="The internal port: /healthz/*, /metrics and /log-level.",
    )
    shutdown_timeout: int = Field(
        default=20,
        ge=1,
        le=600,
        description="Seconds that open requests get to finish when the process stops.",
    )
    otel_exporter_otlp_endpoint: Url | None = Field(
        default=None,
        description="The URL that spans are exported to (OTLP over HTTP); unset: they are not "
        "exported.",
    )
    otel_traces_sampler_arg: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="The share of traces that are sampled at their root. A collector that keeps "
        "those with errors needs 1.",
    )
    otel_exporter_otlp_metrics_endpoint: Url | None = Field(
        default=None,
        description="The whole URL that metrics are pushed to (OTLP over HTTP), e.g. "
        "http://collector:4318/v1/metrics; unset: they are only at /metrics of the internal port.",
    )
    otel_metric_export_interval: int = Field(
        default=60_000,
        ge=1000,
        le=24 * 3600 * 1000,
        description="Milliseconds between two pushes of the metrics.",
    )


class KafkaSecuritySettings(Settings):
    """How Kafka's brokers and clients authenticate each other."""

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT",
        description="`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`, as the brokers listen.",
    )
    kafka_sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        default="SCRAM-SHA-512",
        description="For SASL: `SCRAM-SHA-512`, `SCRAM-SHA-256`, or `PLAIN`, over TLS alone.",
    )
    kafka_sasl_username: str | None = Field(default=None, description="For SASL: the user.")
    kafka_sasl_password: SecretStr | None = Field(
        default=None, description="For SASL: the user's password."
    )
    kafka_ca_file: FilePath | None = Field(
        default=None,
        description="For TLS: the certificates (PEM) of the authorities that sign the brokers' "
        "certificates; unset: those of the system.",
    )
    kafka_certificate_file: FilePath | None = Field(
        default=None, description="For TLS, where brokers ask for it: the client's certificate."
    )
    kafka_key_file: FilePath | None = Field(
        default=None, description="The private key of that certificate (PEM, without a password)."
    )

    @model_validator(mode="after")
    def _refuse_what_does_not_fit(self) -> Self:
        protocol = self.kafka_security_protocol
        if protocol.startswith("SASL"):
            self._require_sasl()
        else:
            self._refuse_given(
                ("kafka_sasl_username", "kafka_sasl_password"), "SASL_SSL or SASL_PLAINTEXT"
            )
        if not protocol.endswith("SSL"):
            files = ("kafka_ca_file", "kafka_certificate_file", "kafka_key_file")
            self._refuse_given(files, "SASL_SSL or SSL")
        if (self.kafka_certificate_file is None) != (self.kafka_key_file is None):
            message = (
                "Only one of KAFKA_CERTIFICATE_FILE and KAFKA_KEY_FILE is set. Set both, or "
                "neither."
            )
            raise ValueError(message)
        return self

    def _require_sasl(self) -> None:
        protocol = self.kafka_security_protocol
        for name in ("kafka_sasl_username", "kafka_sasl_password"):
            if getattr(self, name) is None:
                message = f"{name.upper()} is not set. KAFKA_SECURITY_PROTOCOL={protocol} needs it."
                raise ValueError(message)
        if protocol == "SASL_PLAINTEXT" and self.kafka_sasl_mechanism == "PLAIN":
            message = (
                "KAFKA_SASL_MECHANISM=PLAIN would send the password unencrypted. Set "
                "KAFKA_SECURITY_PROTOCOL=SASL_SSL, or KAFKA_SASL_MECHANISM=SCRAM-SHA-512."
            )
            raise ValueError(message)

    def _refuse_given(self, names: tuple[str, ...], needed: str) -> None:
        for name in names:
            if getattr(self, name) is not None:
                message = (
                    f"{name.upper()} is set, but not used with "
                    f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol}. Set that to "
                    f"{needed}, or remove {name.upper()}."
                )
                raise ValueError(message)


class KafkaSettings(KafkaSecuritySettings):
    """How to reach Kafka."""

    kafka_bootstrap_servers: Servers = Field(
        description="Comma-separated `host:port` of Kafka brokers."
    )
    kafka_topic_prefix: str = Field(
        default="",
        max_length=100,
        pattern=r"^[a-zA-Z0-9._-]*$",
        description="Prefix of each topic and group, where environments share a cluster.",
    )
    kafka_session_timeout: float = Field(
        default=10,
        ge=1,
        le=300,
        description="Seconds after which a silent consumer's partitions go to another. Brokers "
        "accept 6 and more by default.",
    )


class AuthSettings(Settings):
    """How access tokens are verified."""

    auth_issuer: str = Field(
        default="http://127.0.0.1:8000", description="The `iss` that tokens must carry."
    )
    auth_audience: str = Field(
        default=product().name, description="The `aud` that tokens must carry."
    )
    auth_jwks_file: Path = Field(description="The file with the public keys (a JWK set, RFC 7517).")
    access_token_lifetime: int = Field(
        default=600,
        ge=60,
        le=3000,  # the topic of ended sessions is kept for an hour
        description="Seconds that an access token is valid. All processes need the same value: "
        "they reject a token that claims more. To raise it, restart users last.",
    )

    @property
    def access_lifetime(self) -> timedelta:
        """The lifetime of access tokens."""
        return timedelta(seconds=self.access_token_lifetime)


def load[S: BaseSettings](settings: type[S], *, directory: Path | None = None) -> S:
    """Return the settings of this process, or exit with status 2 and name each invalid one.

    Args:
        settings: the class of the settings.
        directory: has the `.env`; None is the working directory.
    """
    file = settings_file(directory or Path())
    try:
        problems = faults_of(file)
        if not problems:
            return settings(_env_file=file, _env_file_encoding=ENCODING)
    except ValidationError as error:
        problems = [f"{_place(problem['loc'])}{problem['msg']}" for problem in error.errors()]
    except SettingsError as error:  # names the field; its cause would quote the value
        problems = [f"{error}. Write a list or an object as JSON, and make each file readable."]
    for text in problems:
        print(text, file=sys.stderr)  # noqa: T201 - there is no log yet
    sys.exit(2)


def _place(location: tuple[int | str, ...]) -> str:
    """Return the name of a setting, and which of its values it is, if there are several."""
    if not location:
        return ""  # a validator of several settings names them itself
    name, *within = location
    which = "".join(
        f", value {part + 1}" if isinstance(part, int) else f", {part}" for part in within
    )
    return f"setting {str(name).upper()}{which}: "
