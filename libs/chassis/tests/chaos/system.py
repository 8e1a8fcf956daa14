"""The system under test: its own servers, a proxy in front of Kafka, and four worker processes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from pydantic import SecretStr
from sqlalchemy import MetaData, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.database import Connector, Database, DatabaseSettings
from chassis.database.engine import asyncpg_url
from chassis.messaging import Wakeups
from chassis.role_names import owner_role, runtime_role
from chassis.settings import Environment
from localservers import KafkaServer, PostgresServer
from localservers.ports import free_port
from testkit.databases import PASSWORD, bootstrap_services
from testkit.kafka import TestTopics

from .job_reading import JobReader
from .proxy import Proxy
from .reading import Reader
from .services import LEDGER, TALLY, ledger, tally
from .workers import Worker

# The minimum that brokers allow by default, and longer than a member needs to revoke a partition.
SESSION_SECONDS = 6.0
_EACH = 2
_PARTITIONS = 4
# A killed server loses no page that it wrote. Loss of power is not part of this test.
_FASTER = ("fsync", "full_page_writes")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    postgres: PostgresServer
    kafka: KafkaServer
    proxy: Proxy
    workers: list[Worker]
    database: Database
    wakeups: Wakeups
    reader: Reader
    jobs: JobReader

    def workers_of(self, service: str) -> list[Worker]:
        return [one for one in self.workers if one.service == service]

    @property
    def complaints(self) -> list[str]:
        return [complaint for one in self.workers for complaint in one.complaints]


@asynccontextmanager
async def running_system(*, directory: Path, jwks_file: Path, seed: str) -> AsyncIterator[System]:
    """Start the whole system; logs go to `directory`."""
    proxy = Proxy(port=free_port(), upstream=free_port())
    postgres = PostgresServer(directory=directory / "postgres", port=free_port(), password=PASSWORD)
    kafka = KafkaServer(
        directory=directory / "kafka",
        port=proxy.upstream,
        properties={
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{proxy.port}",
            # A restarted broker must not wait until its previous registration times out.
            "broker.session.timeout.ms": "1000",
            "broker.heartbeat.interval.ms": "300",
        },
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(proxy.running())
        for server in (postgres, kafka):
            stack.push_async_callback(server.stop)
        await asyncio.gather(postgres.start(), kafka.start())
        await _make_schemas(postgres)
        topics = TestTopics(bootstrap_servers=f"127.0.0.1:{proxy.port}", prefix="")
        await topics.create(["accounts", "receipts"], partitions=_PARTITIONS)
        workers = [
            Worker(
                service=service,
                name=f"{service}-{number}",
                environment=_environment(postgres, topics, service, jwks_file),
                logs=directory,
                seed=seed,
            )
            for service in (LEDGER, TALLY)
            for number in range(1, _EACH + 1)
        ]
        for worker in workers:
            await stack.enter_async_context(worker.running())
        settings = await asyncio.to_thread(  # settings look for files
            DatabaseSettings,
            environment=Environment.DEVELOPMENT,
            database_url=SecretStr(_url(postgres, LEDGER)),
        )
        database = Database(settings=settings, application_name="writers")
        yield System(
            postgres=postgres,
            kafka=kafka,
            proxy=proxy,
            workers=workers,
            database=await stack.enter_async_context(database.opened()),
            wakeups=Wakeups(
                connector=Connector.to(_url(postgres, LEDGER)), application_name="writers-wakeups"
            ),
            reader=Reader(
                ledger=_url(postgres, LEDGER),
                tally=_url(postgres, TALLY),
                kafka=topics.bootstrap_servers,
                partitions=_PARTITIONS,
            ),
            jobs=JobReader(_url(postgres, LEDGER)),
        )


def _environment(
    postgres: PostgresServer, topics: TestTopics, service: str, jwks_file: Path
) -> dict[str, str]:
    return {
        "ENVIRONMENT": "development",
        "DATABASE_URL": _url(postgres, service),
        "KAFKA_BOOTSTRAP_SERVERS": topics.bootstrap_servers,
        "KAFKA_SESSION_TIMEOUT": str(SESSION_SECONDS),
        "AUTH_JWKS_FILE": str(jwks_file),
        "INTERNAL_PORT": "0",
    }


def _url(postgres: PostgresServer, service: str, role=runtime_role) -> str:
    return postgres.url(user=role(service), password=PASSWORD)


async def _make_schemas(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url())
    try:
        for name in _FASTER:
            await connection.execute(f"ALTER SYSTEM SET {name} = off")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()
    await bootstrap_services(postgres.url(), "postgres", [LEDGER, TALLY])
    schemas: list[tuple[str, MetaData]] = [(LEDGER, ledger), (TALLY, tally)]
    for service, metadata in schemas:
        url = asyncpg_url(_url(postgres, service, owner_role))
        engine = create_async_engine(url, poolclass=NullPool)
        async with engine.begin() as owner:
            await owner.run_sync(metadata.create_all)
        await engine.dispose()
