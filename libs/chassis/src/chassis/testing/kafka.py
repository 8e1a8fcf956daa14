"""Topics for tests: a prefix of their own keeps tests apart that share one broker."""

import asyncio
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic


@dataclass(frozen=True, slots=True, kw_only=True)
class TestTopics:
    """The topics of one test."""

    __test__ = False  # the name begins like a test's

    bootstrap_servers: str
    prefix: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:12]}.")

    async def create(self, names: Iterable[str], *, partitions: int = 3) -> None:
        """Make topics; `names` are without the prefix."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            topics = [NewTopic(self.prefix + name, partitions, 1) for name in names]
            await admin.create_topics(topics)
        finally:
            await admin.close()

    async def read(self, name: str, count: int) -> list[ConsumerRecord]:
        """Wait for the first `count` messages of a topic; TimeoutError after 20 s."""
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
