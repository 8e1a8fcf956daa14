"""Topics for tests; a unique prefix separates the tests that share one broker."""

import asyncio
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic


@dataclass(frozen=True, slots=True, kw_only=True)
class TestTopics:
    """The topics of one test."""

    __test__ = False  # the name begins like a test's

    bootstrap_servers: str
    prefix: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:12]}.")

    async def create(
        self,
        names: Iterable[str],
        *,
        partitions: int = 3,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Create topics; `names` are without the prefix, `settings` are Kafka's topic settings."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            topics = [
                NewTopic(self.prefix + name, partitions, 1, topic_configs=dict(settings or {}))
                for name in names
            ]
            await admin.create_topics(topics)
        finally:
            await admin.close()

    async def grow(self, name: str, partitions: int) -> None:
        """Increase a topic's number of partitions, as an operator may do by hand."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            await admin.create_partitions({self.prefix + name: NewPartitions(partitions)})
        finally:
            await admin.close()

    async def read(self, name: str, count: int) -> list[ConsumerRecord]:
        """Return the first `count` messages of a topic, or raise TimeoutError after 20 s."""
        consumer = AIOKafkaConsumer(
            self.prefix + name,
            bootstrap_servers=self.bootstrap_servers,
            auto_offset_reset="earliest",
            group_id=None,
        )
        await consumer.start()
        try:
            async with asyncio.timeout(20):
                return [await consumer.getone() for _ in range(count)]
        finally:
            await consumer.stop()
