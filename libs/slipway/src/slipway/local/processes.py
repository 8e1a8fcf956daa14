"""The processes of the system: one table, and the environment of each process."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from chassis.settings import Environment
from slipway.local.program import READY_SECONDS, ProgramSpec, inherited_environment
from slipway.operate.database import Database
from slipway.operate.keys import KeyFiles
from slipway.services import SERVICES
from slipway.settings import HOST, SlipwaySettings

TRACES = "traces"
_PROFILED_READY_SECONDS = 300.0  # a profiler multiplies the time of the imports
_STOP_SECONDS = 8  # for open requests; the supervisor's own limit is longer


class Need(Enum):
    """What a process can't start without."""

    DATABASE = "database"  # migrated
    BROKER = "broker"  # with its topics
    VALKEY = "valkey"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One process.

    Attributes:
        name: names its settings (`orders-worker`: ORDERS_WORKER_INTERNAL_PORT) and its log.
        module: the module to run, with its arguments.
        package: the package whose source it runs.
        service: the service whose schema it uses; None for a process without a database.
        public: whether it serves the API, beside its internal port.
        tier: higher ones stop first.
        needs: what must be ready before it is started.
    """

    name: str
    module: tuple[str, ...]
    package: str
    service: str | None
    public: bool
    tier: int
    needs: frozenset[Need]


def _api(service: str) -> Row:
    return Row(
        name=service,
        module=("chassis.run", service, "api"),
        package=service,
        service=service,
        public=True,
        tier=3,
        needs=frozenset({Need.DATABASE}),
    )


def _worker(service: str) -> Row:
    return Row(
        name=f"{service}-worker",
        module=("chassis.run", service, "worker"),
        package=service,
        service=service,
        public=False,
        tier=2,
        needs=frozenset({Need.DATABASE, Need.BROKER}),
    )


PROCESSES = (
    Row(
        name="gateway",
        module=("gateway",),
        package="gateway",
        service=None,
        public=True,
        tier=4,
        needs=frozenset({Need.VALKEY}),
    ),
    *(row for service in SERVICES for row in (_api(service), _worker(service))),
)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the processes of one system have in common.

    Attributes:
        settings: ports and addresses.
        root: the top of the repository.
        env_file: settings that the processes read in addition to their environment.
        database: local or external.
        keys: of access tokens.
        environment: settings that come last, so they replace those that are set here.
        interpreters: what runs a process in place of this Python, by the process's name.
    """

    settings: SlipwaySettings
    root: Path
    env_file: str
    database: Database
    keys: KeyFiles
    environment: Mapping[str, str] = field(default_factory=dict)
    interpreters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def spec(self, row: Row) -> ProgramSpec:
        """Return how to run one row of the table."""
        internal = f"http://{HOST}:{self._port(row, 'internal_port')}"
        return ProgramSpec(
            name=row.name,
            command=(*self.interpreters.get(row.name, (sys.executable,)), "-m", *row.module),
            environment=dict(self._environment(row)),
            directory=self.root,
            address=f"http://{HOST}:{self._port(row, 'port')}" if row.public else internal,
            ready_url=f"{internal}/healthz/ready",
            ready_limit=_PROFILED_READY_SECONDS if row.name in self.interpreters else READY_SECONDS,
        )

    def traces(self) -> ProgramSpec:
        """Return how to run the trace sink."""
        settings = self.settings
        return ProgramSpec(
            name=TRACES,
            command=(sys.executable, "-m", "slipway.local.traces"),
            environment={**inherited_environment(), "TRACES_PORT": str(settings.traces_port)},
            directory=self.root,
            address=settings.traces_url,
            ready_url=f"{settings.traces_url}/healthz/ready",
        )

    def _environment(self, row: Row) -> Iterator[tuple[str, str]]:
        settings = self.settings
        yield from inherited_environment().items()
        yield from self._shared()
        yield "INTERNAL_PORT", str(self._port(row, "internal_port"))
        if row.public:
            yield "PORT", str(self._port(row, "port"))
        if row.service is not None:
            yield "DATABASE_URL", self.database.runtime_url(row.service)
            yield "DATABASE_DIRECT_URL", self.database.runtime_url(row.service)
        if row.service == "users":
            yield "AUTH_SIGNING_KEYS_FILE", str(self.keys.private)
            yield "TOTP_KEYS", settings.totp_keys.get_secret_value()
            yield "FIRST_ADMIN_EMAIL", settings.first_admin_email
            yield "FIRST_ADMIN_PASSWORD", settings.first_admin_password.get_secret_value()
        if row.service == "notifications":
            yield "PUBLIC_URL", settings.gateway_url
            yield "SMTP_SERVER", f"{HOST}:{settings.smtp_port}"
            yield "SMTP_TLS", "none"
            yield "SMTP_FROM", "Slipway <no-reply@example.com>"
            yield "UNSUBSCRIBE_KEYS", settings.unsubscribe_keys.get_secret_value()
            yield "WEBHOOK_KEYS", settings.webhook_keys.get_secret_value()
            yield "WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"
        if row.name == "gateway":
            yield "VALKEY_URL", f"valkey://{HOST}:{settings.valkey_port}/0"
            for service in SERVICES:
                yield f"{service.upper()}_URL", f"http://{HOST}:{settings.port_of(service)}"
            if settings.environment is Environment.DEVELOPMENT:
                yield "TRUST_CLIENT_TRACES", "true"  # so that `slipway demo` finds its own trace
        yield from self.environment.items()

    def _shared(self) -> Iterator[tuple[str, str]]:
        settings = self.settings
        yield "ENVIRONMENT", settings.environment
        yield "SETTINGS_FILE", self.env_file
        yield "LOG_FORMAT", "json"
        yield "HOST", HOST
        yield "INTERNAL_HOST", HOST
        yield "SHUTDOWN_TIMEOUT", str(_STOP_SECONDS)
        yield "KAFKA_BOOTSTRAP_SERVERS", settings.brokers
        yield "KAFKA_TOPIC_PREFIX", settings.kafka_topic_prefix
        yield "AUTH_ISSUER", settings.gateway_url
        yield "AUTH_JWKS_FILE", str(self.keys.public)
        yield "OTEL_EXPORTER_OTLP_ENDPOINT", settings.traces_url
        yield "OTEL_TRACES_SAMPLER_ARG", "1.0"
        yield "SLIPWAY_LIMITS", settings.slipway_limits

    def _port(self, row: Row, kind: str) -> int:
        return self.settings.port_of(row.name, kind)
