"""The tests' service in this process: database, topics, and relay and consumer on demand."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from chassis.database import Database, DatabaseSettings
from chassis.health import Health
from chassis.messaging import Consumer, KafkaConnection, Outbox, Relay, Wakeups
from chassis.messaging.consuming.batch import BatchRunner
from chassis.messaging.consuming.handling import Handling
from chassis.messaging.consuming.retries import Retries
from chassis.messaging.consuming.subscriptions import Subscriptions
from chassis.messaging.consuming.watchdog import Watchdog
from chassis.messaging.metrics import ConsumerMetrics, ParkingMetrics, RelayMetrics
from chassis.messaging.publishing.lane import Pace
from chassis.settings import Environment
from chassis.testing import ServiceDatabase, TestTopics

from .counting import SERVICE, SOURCE, Handler, metadata, raise_counter, record, subscriptions

SECONDS = 30.0


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run long-lived tasks beside the block; one that fails ends the block with its error."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what another process or a server must come to; there is no event to wait for."""
    async with asyncio.timeout(SECONDS):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.01)


@dataclass(kw_only=True)
class CountingService:
    """The tests' service, in this process."""

    urls: ServiceDatabase
    database: Database
    wakeups: Wakeups
    topics: TestTopics
    relay_metrics: RelayMetrics = field(default_factory=lambda: RelayMetrics(CollectorRegistry()))
    metrics: ConsumerMetrics = field(default_factory=lambda: ConsumerMetrics(CollectorRegistry()))
    raised: Counter[str] = field(default_factory=Counter)

    @property
    def kafka(self) -> KafkaConnection:
        return KafkaConnection(
            bootstrap_servers=self.topics.bootstrap_servers, topic_prefix=self.topics.prefix
        )

    def outbox(self, session: Any) -> Outbox:
        return Outbox(session=session, source=SOURCE, service=SERVICE, wakeups=self.wakeups)

    async def raise_counters(self, *names: str, filler: str = "") -> None:
        """Raise counters, each in a transaction of its own, one after the other."""
        for name in names:
            async with self.database.transaction() as session:
                number = await raise_counter(session, self.outbox(session), name, filler=filler)
            self.raised[name] = number

    def relay(
        self, *, dsn: str | None = None, urgent_topics: Collection[str] = (), **pace: Any
    ) -> Relay:
        return Relay(
            service=SERVICE,
            dsn=dsn or self.urls.runtime_url,
            kafka=self.kafka,
            metrics=self.relay_metrics,
            urgent_topics=urgent_topics,
            pace=Pace(**pace),
        )

    def handling(
        self, handler: Handler = record, *, table: Subscriptions[Any] | None = None, **options: Any
    ) -> Handling[Any]:
        """The handlers; `options` are those of the subscription."""
        return Handling(
            service=SERVICE,
            subscriptions=table or subscriptions(handler, **options),
            resources=None,
        )

    def runner(self, handler: Handler = record, **options: Any) -> BatchRunner[Any]:
        return BatchRunner(
            service=SERVICE,
            database=self.database,
            handling=self.handling(handler, **options),
            metrics=self.metrics,
        )

    def retries(self, handler: Handler = record, **options: Any) -> Retries[Any]:
        return Retries(
            service=SERVICE,
            database=self.database,
            handling=self.handling(handler, **options),
            metrics=ParkingMetrics(CollectorRegistry()),
            poll_seconds=0.05,
        )

    def watchdog(self, health: Health, **options: Any) -> Watchdog:
        return Watchdog(
            kafka=self.kafka,
            database=self.database,
            metrics=self.metrics,
            health=health,
            **options,
        )

    def consumer(
        self, handler: Handler = record, *, kind: type[Consumer] = Consumer, **options: Any
    ) -> Consumer:
        options = {
            "kafka": self.kafka,
            "runner": self.runner(handler),
            "metrics": self.metrics,
            "health": Health(),
            **options,
        }
        options.setdefault("watchdog", self.watchdog(options["health"]))
        return kind(service=SERVICE, **options)

    async def query(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Ask the service's database as its runtime role, on a connection of its own."""
        connection = await asyncpg.connect(self.urls.runtime_url)
        try:
            return [tuple(row) for row in await connection.fetch(sql, *arguments)]
        finally:
            await connection.close()

    async def effects(self) -> list[tuple[str, int]]:
        return [
            (n, v)
            for n, v in await self.query("SELECT counter, number FROM effects ORDER BY place")
        ]

    async def backlog(self) -> int:
        return int((await self.query("SELECT count(*) FROM outbox"))[0][0])

    async def until_effects(self, number: int | None = None) -> None:
        """Wait for as many effects; by default one for each event."""
        wanted = self.raised.total() if number is None else number

        async def there() -> bool:
            with suppress(OSError, asyncpg.PostgresError):  # a server may be away meanwhile
                return len(await self.effects()) >= wanted
            return False

        await until(there)

    async def until_published(self, but: int = 0) -> None:
        """Wait until no row is left in the outbox, `but` so many that can't go."""

        async def there() -> bool:
            with suppress(OSError, asyncpg.PostgresError):
                return await self.backlog() == but
            return False

        await until(there)

    def outcome(self, name: str) -> float:
        """How many messages the consumer counted with an outcome."""
        samples = [
            sample for metric in self.metrics.consumed.collect() for sample in metric.samples
        ]
        return sum(
            sample.value
            for sample in samples
            if sample.name.endswith("_total") and sample.labels["outcome"] == name
        )

    async def send(
        self, *values: bytes | None, headers: dict[str, str], key: str = "a", partition: int = 0
    ) -> None:
        """Put messages on the topic past any outbox."""
        producer = AIOKafkaProducer(bootstrap_servers=self.topics.bootstrap_servers)
        await producer.start()
        try:
            for value in values:
                await producer.send_and_wait(
                    self.topics.prefix + subscriptions().topics[0],
                    key=key.encode(),
                    value=value,
                    partition=partition,
                    headers=[(name, text.encode()) for name, text in headers.items()],
                )
        finally:
            await producer.stop()


def settings_for(url: str) -> DatabaseSettings:
    return DatabaseSettings(environment=Environment.DEVELOPMENT, database_url=SecretStr(url))


@pytest.fixture(scope="session")
async def service_database(postgres_url: str) -> ServiceDatabase:
    return await ServiceDatabase.create_from_metadata(postgres_url, SERVICE, metadata)


@pytest.fixture(scope="session")
def database_settings(service_database: ServiceDatabase) -> DatabaseSettings:
    return settings_for(service_database.runtime_url)


@asynccontextmanager
async def counting_service(
    urls: ServiceDatabase, settings: DatabaseSettings, topics: TestTopics
) -> AsyncIterator[CountingService]:
    wakeups = Wakeups(dsn=urls.runtime_url, application_name="tests-wakeups")
    async with Database(settings=settings, application_name="tests").opened() as database:
        yield CountingService(urls=urls, database=database, wakeups=wakeups, topics=topics)


@pytest.fixture
async def offline(
    database: ServiceDatabase, database_settings: DatabaseSettings
) -> AsyncIterator[CountingService]:
    """The service where no test of Kafka is meant: with PostgreSQL alone."""
    nowhere = TestTopics(bootstrap_servers="127.0.0.1:1")
    async with counting_service(database, database_settings, nowhere) as counting:
        yield counting


@pytest.fixture
async def service(
    database: ServiceDatabase, database_settings: DatabaseSettings, topics: TestTopics
) -> AsyncIterator[CountingService]:
    """The service with its topic on the run's Kafka."""
    await topics.create(["counters"])
    async with (
        counting_service(database, database_settings, topics) as counting,
        running(counting.wakeups.run()),
    ):
        yield counting


@pytest.fixture(scope="session")
def span_exporter() -> InMemorySpanExporter:
    """What this process's spans go to; a process has one provider, set once."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def spans(span_exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    span_exporter.clear()
    return span_exporter
