"""Kafka's topics, brought to what the contracts declare. It never changes a partition count.

Auto-creation is off: a topic that nobody declared would have the wrong partitions and retention.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from chassis.kafka_security import security_options
from slipway.errors import SlipwayError
from slipway.settings import TopicSettings

_REPLICAS = 3
_MIN_INSYNC = 2
_POLL_SECONDS = 0.5
_SEEN_SECONDS = 30.0


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


@dataclass(frozen=True, kw_only=True)
class Replication:
    """How many brokers hold a new topic; None: as many as there are, up to three.

    Attributes:
        factor: the replicas.
        min_insync: how many must have an event before it is acknowledged; None: two of three.
    """

    factor: int | None = None
    min_insync: int | None = None

    def on(self, brokers: int) -> tuple[int, int]:
        """Both numbers, on a cluster of so many brokers."""
        factor = self.factor or min(brokers, _REPLICAS)
        return factor, self.min_insync or (_MIN_INSYNC if factor >= _REPLICAS else 1)


async def apply_when_there(
    settings: TopicSettings, topics: Iterable[TopicDeclaration]
) -> tuple[str, ...]:
    """Wait for the broker, as long as the settings say, and apply; answers what was created."""
    loop = asyncio.get_running_loop()
    end = loop.time() + settings.startup_wait
    declared = tuple(topics)
    while True:
        try:
            return await apply(
                settings.brokers,
                declared,
                prefix=settings.kafka_topic_prefix,
                security=security_options(settings),
                replication=Replication(
                    factor=settings.kafka_topic_replication_factor,
                    min_insync=settings.kafka_topic_min_insync_replicas,
                ),
            )
        except SlipwayError as error:
            cause = error.__cause__
            passing = isinstance(cause, KafkaError) and cause.retriable
            if not passing or loop.time() + _POLL_SECONDS > end:
                raise
        await asyncio.sleep(_POLL_SECONDS)


async def apply(
    bootstrap_servers: str,
    topics: Iterable[TopicDeclaration],
    *,
    prefix: str = "",
    security: Mapping[str, Any] = MappingProxyType({}),
    replication: Replication = Replication(),
) -> tuple[str, ...]:
    """Create the topics that are missing; answers their names.

    Args:
        bootstrap_servers: where Kafka is.
        topics: what the contracts declare.
        prefix: goes before each name.
        security: further arguments of the client, for TLS and SASL.
        replication: of the topics that are created.

    Raises:
        SlipwayError: the broker can't be reached, refuses, or has a topic with other partitions.
    """
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap_servers, client_id="slipway-topics", **security
    )
    try:
        await admin.start()
        return await _apply(admin, {prefix + topic.name: topic for topic in topics}, replication)
    except KafkaError as error:
        message = f"topics can't be created on Kafka at {bootstrap_servers}: {error!r}"
        raise SlipwayError(message) from error
    finally:
        await admin.close()


async def _apply(
    admin: AIOKafkaAdminClient, topics: Mapping[str, TopicDeclaration], replication: Replication
) -> tuple[str, ...]:
    present = await _partitions(admin)
    _refuse_other_partitions(topics, present)
    missing = {name: topic for name, topic in topics.items() if name not in present}
    if missing:
        brokers = len((await admin.describe_cluster())["brokers"])
        factor, insync = replication.on(brokers)
        new = [_new(name, topic, factor, insync) for name, topic in missing.items()]
        _raise_errors(await admin.create_topics(new))
        # Another one may have been quicker, and wanted other partitions.
        _refuse_other_partitions(topics, await _until_seen(admin, missing))
    return tuple(missing)


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


async def _until_seen(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    """Wait for the broker to know what the controller created; its metadata follow a bit later."""
    wanted = set(names)
    try:
        async with asyncio.timeout(_SEEN_SECONDS):
            while True:
                present = await _partitions(admin)
                if wanted <= present.keys():
                    return present
                await asyncio.sleep(_POLL_SECONDS / 5)
    except TimeoutError as error:
        message = (
            f"Kafka took the topics {', '.join(sorted(wanted))}, and {_SEEN_SECONDS:g} s later the "
            "broker still doesn't know them: its log and the controller's say more"
        )
        raise SlipwayError(message) from error


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


def _new(name: str, topic: TopicDeclaration, factor: int, insync: int) -> NewTopic:
    return NewTopic(
        name=name,
        num_partitions=topic.partitions,
        replication_factor=factor,
        topic_configs={
            "retention.ms": str(int(topic.retention.total_seconds() * 1000)),
            "min.insync.replicas": str(insync),
        },
    )


def _raise_errors(response: Any) -> None:  # noqa: ANN401  # one of four versions, all untyped
    for name, code, *text in response.topic_errors:
        kind = for_code(code)
        if code and kind is not TopicAlreadyExistsError:  # another one was quicker
            message = f"Kafka refuses topic {name}: {kind.__name__} {' '.join(map(str, text))}"
            raise SlipwayError(message)
