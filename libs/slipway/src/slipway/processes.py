"""The processes of the system: one table, and the environment that each is handed."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from slipway.database import SERVICES, Database
from slipway.keys import KeyFiles
from slipway.program import ProgramSpec
from slipway.settings import HOST, SlipwaySettings

TRACES = "traces"
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
        module: what runs.
        service: whose schema it uses; None for a process without a database.
        public: whether it serves the API, beside its internal port.
        tier: higher ones stop first.
        needs: what must be ready before it is started.
    """

    name: str
    module: str
    service: str | None
    public: bool
    tier: int
    needs: frozenset[Need]

    @property
    def package(self) -> str:
        """Whose source it runs."""
        return self.module.partition(".")[0]


def _api(service: str) -> Row:
    return Row(
        name=service,
        module=f"{service}.app",
        service=service,
        public=True,
        tier=3,
        needs=frozenset({Need.DATABASE}),
    )


def _worker(service: str) -> Row:
    return Row(
        name=f"{service}-worker",
        module=f"{service}.worker",
        service=service,
        public=False,
        tier=2,
        needs=frozenset({Need.DATABASE, Need.BROKER}),
    )


PROCESSES = (
    Row(
        name="gateway",
        module="gateway.app",
        service=None,
        public=True,
        tier=4,
        needs=frozenset({Need.VALKEY}),
    ),
    *(row for service in SERVICES for row in (_api(service), _worker(service))),
)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the processes of one system have in common."""

    settings: SlipwaySettings
    root: Path
    env_file: str
    database: Database
    keys: KeyFiles

    def spec(self, row: Row) -> ProgramSpec:
        """How to run one row of the table."""
        internal = f"http://{HOST}:{self._port(row, 'internal_port')}"
        return ProgramSpec(
            name=row.name,
            command=(sys.executable, "-m", row.module),
            environment=dict(self._environment(row)),
            directory=self.root,
            address=f"http://{HOST}:{self._port(row, 'port')}" if row.public else internal,
            ready_url=f"{internal}/healthz/ready",
        )

    def traces(self) -> ProgramSpec:
        """How to run the trace sink."""
        settings = self.settings
        return ProgramSpec(
            name=TRACES,
            command=(sys.executable, "-m", "slipway.traces"),
            environment={**os.environ, "TRACES_PORT": str(settings.traces_port)},
            directory=self.root,
            address=settings.traces_url,
            ready_url=f"{settings.traces_url}/healthz/ready",
        )

    def _environment(self, row: Row) -> Iterator[tuple[str, str]]:
        settings = self.settings
        yield from os.environ.items()
        yield from self._shared()
        yield "INTERNAL_PORT", str(self._port(row, "internal_port"))
        if row.public:
            yield "PORT", str(self._port(row, "port"))
        if row.service is not None:
            yield "DATABASE_URL", self.database.runtime_url(row.service)
            yield "DATABASE_DIRECT_URL", self.database.runtime_url(row.service)
        if row.service == "users":
            yield "AUTH_SIGNING_KEYS_FILE", str(self.keys.private)
            yield "FIRST_ADMIN_EMAIL", settings.first_admin_email
            yield "FIRST_ADMIN_PASSWORD", settings.first_admin_password.get_secret_value()
        if row.name == "gateway":
            yield "VALKEY_URL", f"valkey://{HOST}:{settings.valkey_port}/0"
            yield "USERS_URL", f"http://{HOST}:{settings.users_port}"
            yield "ORDERS_URL", f"http://{HOST}:{settings.orders_port}"
            yield "NOTIFICATIONS_URL", f"http://{HOST}:{settings.notifications_port}"

    def _shared(self) -> Iterator[tuple[str, str]]:
        settings = self.settings
        yield "ENVIRONMENT", settings.environment
        yield "SLIPWAY_ENV_FILE", self.env_file
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
        port: int = getattr(self.settings, f"{row.name.replace('-', '_')}_{kind}")
        return port
