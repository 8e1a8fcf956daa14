"""The tests' service in this process: database, topics, and relay and consumer on demand."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from chassis.database import Connector, Database, DatabaseSettings
from chassis.health import Health
from chassis.messaging import Consumer, KafkaConnection, Outbox, Relay, Wakeups
from chassis.messaging.consuming.batch import BatchRunner
from chassis.messaging.consuming.handling import Handling
from chassis.messaging.consuming.lag import GroupLag, Standings
from chassis.messaging.consuming.retries import Retries
from chassis.messaging.consuming.subscriptions import Subscriptions
from chassis.messaging.consuming.watchdog import Watchdog
from chassis.messaging.metrics import ConsumerMetrics, ParkingMetrics, RelayMetrics
from chassis.messaging.publishing.lane import Pace
from chassis.settings import Environment
from testkit.databases import ServiceDatabase
from testkit.kafka import TestTopics
from testkit.waiting import until

from .counting import SERVICE, SOURCE, Handler, metadata, raise_counter, record, subscriptions


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run long-lived tasks beside the block; if one fails, the block ends with its error."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


@dataclass(kw_only=True)
class CountingService:
    """The tests' service, in this process."""

    urls: ServiceDatabase
    database: Database
    wakeups: Wakeups
    topics: TestTopics
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    relay_metrics: RelayMetrics = field(init=False)
    metrics: ConsumerMetrics = field(init=False)
    raised: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.relay_metrics = RelayMetrics(self.registry)
        self.metrics = ConsumerMetrics(self.registry)

    def sample(self, name: str, **labels: str) -> float | None:
        """Return the value of a metric, as a scrape would."""
        return self.registry.get_sample_value(name, labels)

    @property
    def kafka(self) -> KafkaConnection:
        return KafkaConnection(
            bootstrap_servers=self.topics.bootstrap_servers, topic_prefix=self.topics.prefix
        )

    def outbox(self, unit: Any) -> Outbox:
        return Outbox(unit=unit, source=SOURCE, service=SERVICE, wakeups=self.wakeups)

    async def raise_counters(self, *names: str, filler: str = "") -> None:
        """Raise counters one after the other, each in a separate transaction."""
        for name in names:
            async with self.database.transaction() as unit:
                number = await raise_counter(unit, self.outbox(unit), name, filler=filler)
            self.raised[name] = number

    def relay(
        self, *, dsn: str | None = None, urgent_topics: Collection[str] = (), **pace: Any
    ) -> Relay:
        return Relay(
            service=SERVICE,
            connector=Connector.to(dsn or self.urls.runtime_url),
            kafka=self.kafka,
            metrics=self.relay_metrics,
            urgent_topics=urgent_topics,
            pace=Pace(**pace),
        )

    def handling(
        self, handler: Handler = record, *, table: Subscriptions[Any] | None = None, **options: Any
    ) -> Handling[Any]:
        """Return the handlers; `options` are those of the subscription."""
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

    def lag(self, **options: Any) -> GroupLag:
        """Return a measurement of this service's lag; the caller runs it."""
        return GroupLag(
            kafka=self.kafka,
            group=self.topics.prefix + SERVICE,
            topics=[self.topics.prefix + topic for topic in subscriptions().topics],
            metrics=self.metrics,
            **options,
        )

    def watchdog(self, health: Health, *, lag: Standings | None = None, **options: Any) -> Watchdog:
        return Watchdog(
            lag=lag or self.lag(),
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
        """Query the service's database as its runtime role, on a separate connection."""
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
        """Wait for `number` effects; by default one for each event."""
        wanted = self.raised.total() if number is None else number

        async def all_effects() -> bool:
            with suppress(OSError, asyncpg.PostgresError):  # a server may be unavailable
                return len(await self.effects()) >= wanted
            return False

        await until(all_effects)

    async def until_published(self, but: int = 0) -> None:
        """Wait until only `but` rows, which can't be sent, are left in the outbox."""

        async def all_published() -> bool:
            with suppress(OSError, asyncpg.PostgresError):
                return await self.backlog() == but
            return False

        await until(all_published)

    def outcome(self, name: str) -> float:
        """Return how many messages the consumer counted with an outcome."""
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
        """Send messages to the topic without an outbox."""
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
    wakeups = Wakeups(connector=Connector.to(urls.runtime_url), application_name="tests-wakeups")
    async with Database(settings=settings, application_name="tests").opened() as database:
        yield CountingService(urls=urls, database=database, wakeups=wakeups, topics=topics)


@pytest.fixture
async def offline(
    database: ServiceDatabase, database_settings: DatabaseSettings
) -> AsyncIterator[CountingService]:
    """The service with PostgreSQL alone, for tests that need no Kafka."""
    nowhere = TestTopics(bootstrap_servers="127.0.0.1:1")
    async with counting_service(database, database_settings, nowhere) as counting:
        yield counting


@pytest.fixture
async def service(
    database: ServiceDatabase, database_settings: DatabaseSettings, topics: TestTopics
) -> AsyncIterator[CountingService]:
    """The service, with its topic on the Kafka of the test run."""
    await topics.create(["counters"])
    async with (
        counting_service(database, database_settings, topics) as counting,
        running(counting.wakeups.run()),
    ):
        yield counting
