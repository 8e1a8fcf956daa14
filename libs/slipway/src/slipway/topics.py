"""Kafka's topics, brought to what the contracts declare. It never changes a partition count.

Auto-creation is off: a topic that nobody declared would have the wrong partitions and retention.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from slipway.errors import SlipwayError

_REPLICAS = 3  # design: replication factor 3 where there are as many brokers


class TopicDeclaration(Protocol):
    """What a contract says of its topic."""

    @property
    def name(self) -> str:
        """In Kafka."""

    @property
    def partitions(self) -> int:
        """Never changed in place: it would move keys, and so break their order."""

    @property
    def retention(self) -> timedelta:
        """How long events are kept."""


async def apply(
    bootstrap_servers: str, topics: Iterable[TopicDeclaration], *, prefix: str = ""
) -> tuple[str, ...]:
    """Create the topics that are missing; answers their names.

    Args:
        bootstrap_servers: where Kafka is.
        topics: what the contracts declare.
        prefix: goes before each name.

    Raises:
        SlipwayError: the broker can't be reached, refuses, or has a topic with other partitions.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, client_id="slipway-topics")
    try:
        await admin.start()
        return await _apply(admin, {prefix + topic.name: topic for topic in topics})
    except KafkaError as error:
        message = f"topics can't be created on Kafka at {bootstrap_servers}: {error!r}"
        raise SlipwayError(message) from error
    finally:
        await admin.close()


async def _apply(
    admin: AIOKafkaAdminClient, topics: Mapping[str, TopicDeclaration]
) -> tuple[str, ...]:
    present = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    _refuse_other_partitions(topics, present)
    missing = {name: topic for name, topic in topics.items() if name not in present}
    if missing:
        brokers = len((await admin.describe_cluster())["brokers"])
        replicas = min(brokers, _REPLICAS)
        new = [_new(name, topic, replicas) for name, topic in missing.items()]
        _raise_errors(await admin.create_topics(new))
    return tuple(missing)


def _refuse_other_partitions(
    topics: Mapping[str, TopicDeclaration], present: Mapping[str, int]
) -> None:
    wrong = [
        f"{name} has {present[name]} partitions where {topic.partitions} are declared"
        for name, topic in topics.items()
        if present.get(name, topic.partitions) != topic.partitions
    ]
    if wrong:
        message = (
            f"{'; '.join(wrong)}. A partition count is never changed in place (keys would move, "
            "and their order break): declare a new topic, or delete the old one in development"
        )
        raise SlipwayError(message)


def _new(name: str, topic: TopicDeclaration, replicas: int) -> NewTopic:
    configs = {"retention.ms": str(int(topic.retention.total_seconds() * 1000))}
    if replicas == _REPLICAS:
        configs["min.insync.replicas"] = "2"
    return NewTopic(
        name=name,
        num_partitions=topic.partitions,
        replication_factor=replicas,
        topic_configs=configs,
    )


def _raise_errors(response: Any) -> None:  # noqa: ANN401  # one of four versions, all untyped
    for name, code, *text in response.topic_errors:
        kind = for_code(code)
        if code and kind is not TopicAlreadyExistsError:  # another one was quicker
            message = f"Kafka refuses topic {name}: {kind.__name__} {' '.join(map(str, text))}"
            raise SlipwayError(message)
