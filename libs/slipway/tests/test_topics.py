"""Topics are created as declared, once, and never repartitioned."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from chassis.settings import Environment
from slipway import topics
from slipway.errors import SlipwayError
from slipway.settings import TopicSettings


@dataclass(frozen=True)
class Declared:
    name: str
    partitions: int
    retention: timedelta = timedelta(hours=1)


async def test_missing_topics_are_made_as_declared(kafka_bootstrap_servers: str) -> None:
    prefix = f"{uuid.uuid4().hex}."
    declared = [Declared("a", 3), Declared("b", 1)]
    made = await topics.apply(kafka_bootstrap_servers, declared, prefix=prefix)
    assert made == (f"{prefix}a", f"{prefix}b")
    assert await topics.apply(kafka_bootstrap_servers, declared, prefix=prefix) == ()

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap_servers)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([f"{prefix}a"])
        resource = ConfigResource(ConfigResourceType.TOPIC, f"{prefix}a")
        ((config,),) = [answer.resources for answer in await admin.describe_configs([resource])]
    finally:
        await admin.close()
    assert len(described["partitions"]) == 3
    assert ("retention.ms", "3600000") in [entry[:2] for entry in config[4]]


async def test_partitions_are_never_changed_in_place(kafka_bootstrap_servers: str) -> None:
    prefix = f"{uuid.uuid4().hex}."
    await topics.apply(kafka_bootstrap_servers, [Declared("a", 3)], prefix=prefix)
    with pytest.raises(SlipwayError, match="has 3 partitions where 4 are declared"):
        await topics.apply(kafka_bootstrap_servers, [Declared("a", 4)], prefix=prefix)


async def test_a_refusal_names_the_topic(kafka_bootstrap_servers: str) -> None:
    with pytest.raises(SlipwayError, match=r"refuses topic no topic.*InvalidTopic"):
        await topics.apply(kafka_bootstrap_servers, [Declared("no topic", 1)])


async def test_a_broker_that_is_away_is_named() -> None:
    with pytest.raises(SlipwayError, match=r"on Kafka at 127\.0\.0\.1:1"):
        await topics.apply("127.0.0.1:1", [Declared("a", 1)])


def test_the_local_kafka_has_no_security() -> None:
    with pytest.raises(ValueError, match="set KAFKA_BOOTSTRAP_SERVERS as well"):
        TopicSettings(environment=Environment.DEVELOPMENT, kafka_security_protocol="SSL")
