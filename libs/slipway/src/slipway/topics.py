"""Kafka's topics, compared with what the contracts declare, and brought to it.

Auto-creation is off: a topic that nobody declared would have the wrong partitions and retention.
A partition count is never changed.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Protocol, Self

from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError

from chassis.kafka_security import security_options
from slipway.errors import SlipwayError
from slipway.settings import BrokerSettings, TopicSettings
from slipway.topic_admin import PresentTopic, TopicAdmin, topic_admin

_REPLICAS = 3
_MIN_INSYNC = 2
_POLL_SECONDS = 0.1
_RETRY_SECONDS = 0.5
_SEEN_SECONDS = 30.0
_NO_SECURITY: Mapping[str, Any] = MappingProxyType({})


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

    @property
    def segment(self) -> timedelta:
        """How long Kafka appends to one file; it deletes whole ones."""

    @property
    def timestamp_type(self) -> str:
        """Whose clock retention goes by: ``CreateTime`` or ``LogAppendTime``."""


@dataclass(frozen=True, kw_only=True)
class Replication:
    """How many brokers hold a new topic; None: as many as there are, up to three.

    Attributes:
        factor: the replicas.
        min_insync: how many must have an event before it is acknowledged; None: two of three.
    """

    factor: int | None = None
    min_insync: int | None = None

    def factor_on(self, brokers: int) -> int:
        """The replicas of a new topic, on a cluster of so many brokers."""
        return self.factor or min(brokers, _REPLICAS)

    def min_insync_of(self, replicas: int) -> int:
        """How many of a topic's replicas must have an event."""
        return self.min_insync or (_MIN_INSYNC if replicas >= _REPLICAS else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing in which Kafka is not as declared.

    Attributes:
        topic: its whole name.
        setting: ``topic`` where it is missing, ``partitions``, or the name of Kafka's setting.
        present: what Kafka has; None: nothing.
        declared: what it should be.
    """

    topic: str
    setting: str
    present: str | None
    declared: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was changed: the names of topics that were made, and settings that were altered."""

    created: tuple[str, ...] = ()
    altered: tuple[Difference, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Topics:
    """The declared topics on one Kafka.

    Attributes:
        bootstrap_servers: where it is.
        declared: what the contracts declare.
        prefix: goes before each name.
        replication: of the topics.
        security: further arguments of aiokafka's clients, for TLS and SASL.
    """

    bootstrap_servers: str
    declared: tuple[TopicDeclaration, ...]
    prefix: str = ""
    replication: Replication = Replication()
    security: Mapping[str, Any] = _NO_SECURITY

    @classmethod
    def of(cls, settings: BrokerSettings, declared: Iterable[TopicDeclaration]) -> Self:
        """Take the broker from the settings, and the replication where they have it."""
        replication = Replication()
        if isinstance(settings, TopicSettings):
            replication = Replication(
                factor=settings.kafka_topic_replication_factor,
                min_insync=settings.kafka_topic_min_insync_replicas,
            )
        return cls(
            bootstrap_servers=settings.brokers,
            declared=tuple(declared),
            prefix=settings.kafka_topic_prefix,
            replication=replication,
            security=security_options(settings),
        )

    async def diff(self) -> list[Difference]:
        """Compare; an empty list says that all is as declared.

        Raises:
            SlipwayError: the broker can't be reached, or refuses.
        """
        async with topic_admin(self.bootstrap_servers, self.security) as admin:
            return await self._diff(admin)

    async def apply(self) -> Applied:
        """Create what is missing, and alter the settings that differ.

        Answers when the broker knows of the changes: its metadata follow the controller's.

        Raises:
            SlipwayError: the broker can't be reached, refuses, or has a topic with other
                partitions.
        """
        async with topic_admin(self.bootstrap_servers, self.security) as admin:
            differences = await self._diff(admin)
            _refuse_other_partitions(differences)
            created = tuple(each.topic for each in differences if each.setting == "topic")
            if created:
                await admin.create(await self._new(admin, created))
            altered = tuple(each for each in differences if each.setting != "topic")
            await _alter(admin, altered)
            if differences:
                await self._until_seen(admin)
        return Applied(created=created, altered=altered)

    async def apply_when_there(self, seconds: float) -> Applied:
        """Apply, and wait so long for a broker that still starts."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            try:
                return await self.apply()
            except SlipwayError as error:
                cause = error.__cause__
                passing = isinstance(cause, KafkaError) and cause.retriable
                if not passing or loop.time() + _RETRY_SECONDS > end:
                    raise
            await asyncio.sleep(_RETRY_SECONDS)

    async def _diff(self, admin: TopicAdmin) -> list[Difference]:
        wanted = {self.prefix + topic.name: topic for topic in self.declared}
        there = await admin.read(wanted)
        return [
            difference
            for name, topic in wanted.items()
            for difference in self._differences(name, topic, there.get(name))
        ]

    def _differences(
        self, name: str, declared: TopicDeclaration, present: PresentTopic | None
    ) -> list[Difference]:
        if present is None:
            return [Difference(topic=name, setting="topic", present=None, declared="present")]
        wanted = self._settings(declared, present.replicas)
        pairs = {"partitions": (str(present.partitions), str(declared.partitions))} | {
            setting: (present.settings.get(setting), value) for setting, value in wanted.items()
        }
        return [
            Difference(topic=name, setting=setting, present=has, declared=wants)
            for setting, (has, wants) in pairs.items()
            if has != wants
        ]

    def _settings(self, declared: TopicDeclaration, replicas: int) -> dict[str, str]:
        return {
            "retention.ms": _milliseconds(declared.retention),
            "segment.ms": _milliseconds(declared.segment),
            "message.timestamp.type": declared.timestamp_type,
            "min.insync.replicas": str(self.replication.min_insync_of(replicas)),
        }

    async def _new(self, admin: TopicAdmin, names: Iterable[str]) -> list[NewTopic]:
        factor = self.replication.factor_on(await admin.brokers())
        wanted = {self.prefix + topic.name: topic for topic in self.declared}
        return [
            NewTopic(
                name=name,
                num_partitions=wanted[name].partitions,
                replication_factor=factor,
                topic_configs=self._settings(wanted[name], factor),
            )
            for name in names
        ]

    async def _until_seen(self, admin: TopicAdmin) -> None:
        """Wait for the broker to know what the controller changed."""
        left: list[Difference] = []
        try:
            async with asyncio.timeout(_SEEN_SECONDS):
                while left := await self._diff(admin):
                    # Another one may have been quicker, and wanted other partitions.
                    _refuse_other_partitions(left)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            names = ", ".join(sorted({each.topic for each in left}))
            message = (
                f"Kafka took the changes of the topics {names}, and {_SEEN_SECONDS:g} s later the "
                "broker still doesn't know them: its log and the controller's say more"
            )
            raise SlipwayError(message) from error


async def _alter(admin: TopicAdmin, differences: Iterable[Difference]) -> None:
    changes: dict[str, dict[str, str]] = {}
    for each in differences:
        changes.setdefault(each.topic, {})[each.setting] = each.declared
    if changes:
        await admin.alter(changes)


def _refuse_other_partitions(differences: Iterable[Difference]) -> None:
    wrong = [
        f"{each.topic} has {each.present} partitions where {each.declared} are declared"
        for each in differences
        if each.setting == "partitions"
    ]
    if wrong:
        message = (
            f"{'; '.join(wrong)}. A partition count is never changed in place (keys would move, "
            "and their order break): declare a new topic, or delete the old one in development"
        )
        raise SlipwayError(message)


def _milliseconds(time: timedelta) -> str:
    return str(int(time.total_seconds() * 1000))
