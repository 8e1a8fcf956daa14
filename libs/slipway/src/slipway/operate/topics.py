"""Compares Kafka's topics with the contracts' declarations, and corrects them.

Auto-creation is off: an undeclared topic would have the wrong partitions and retention.
A partition count is never changed; one that an operator changed can be accepted.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Protocol, Self

from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError

from chassis.kafka_security import security_options
from slipway.errors import SlipwayError
from slipway.operate.topic_admin import PresentTopic, TopicAdmin, topic_admin
from slipway.settings import BrokerSettings, TopicSettings

_REPLICAS = 3
_MIN_INSYNC = 2
_POLL_SECONDS = 0.1
_RETRY_SECONDS = 0.5
_SEEN_SECONDS = 30.0
_NO_SECURITY: Mapping[str, Any] = MappingProxyType({})


class TopicDeclaration(Protocol):
    """A topic as its contract declares it."""

    @property
    def name(self) -> str:
        """Return its name in Kafka."""

    @property
    def partitions(self) -> int:
        """Return the count; a change in place would move keys, and so break their order."""

    @property
    def retention(self) -> timedelta:
        """Return how long events are kept."""

    @property
    def segment(self) -> timedelta:
        """Return how long Kafka appends to one file; it deletes only whole files."""

    @property
    def timestamp_type(self) -> str:
        """Return the clock of the retention: ``CreateTime`` or ``LogAppendTime``."""

    @property
    def compression(self) -> str:
        """Return the topic's codec, ``uncompressed``, or ``producer``: the producer's choice."""


def declared_settings(topic: TopicDeclaration) -> dict[str, str]:
    """Return the Kafka settings that the contract decides, as texts by name."""
    return {
        "retention.ms": _milliseconds(topic.retention),
        "segment.ms": _milliseconds(topic.segment),
        "message.timestamp.type": topic.timestamp_type,
        "compression.type": topic.compression,
        "cleanup.policy": "delete",  # compaction would remove events that were not consumed yet
    }


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
        """Return the replicas of a new topic on a cluster with this number of brokers."""
        return self.factor or min(brokers, _REPLICAS)

    def min_insync_of(self, replicas: int) -> int:
        """Return how many of a topic's replicas must have an event."""
        return self.min_insync or (_MIN_INSYNC if replicas >= _REPLICAS else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference between Kafka and the declaration.

    Attributes:
        topic: its full name, with the prefix.
        setting: ``topic`` if the topic is missing, ``partitions``, or the name of Kafka's setting.
        present: what Kafka has; None: nothing.
        declared: what it should be.
    """

    topic: str
    setting: str
    present: str | None
    declared: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The changes: the names of created topics, and the altered settings."""

    created: tuple[str, ...] = ()
    altered: tuple[Difference, ...] = ()


@dataclass(slots=True)
class _Changes:
    """What `Topics.apply` has changed so far; a dict as an ordered set."""

    created: list[str] = field(default_factory=list)
    altered: dict[Difference, None] = field(default_factory=dict)

    @property
    def applied(self) -> Applied:
        return Applied(created=tuple(self.created), altered=tuple(self.altered))


@dataclass(frozen=True, kw_only=True)
class Topics:
    """The declared topics on one Kafka.

    Attributes:
        bootstrap_servers: where it is.
        declared: what the contracts declare.
        prefix: goes before each name.
        replication: of the topics.
        partitions: counts that are accepted in place of the declared ones, by name without prefix.
        security: further arguments of aiokafka's clients, for TLS and SASL.
    """

    bootstrap_servers: str
    declared: tuple[TopicDeclaration, ...]
    prefix: str = ""
    replication: Replication = Replication()
    partitions: Mapping[str, int] = MappingProxyType({})
    security: Mapping[str, Any] = _NO_SECURITY

    @classmethod
    def of(cls, settings: BrokerSettings, declared: Iterable[TopicDeclaration]) -> Self:
        """Return the topics on the settings' broker, with their replication if they have it."""
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
            partitions=settings.kafka_topic_partitions,
            security=security_options(settings),
        )

    def __post_init__(self) -> None:
        """Reject accepted counts of topics that are not declared."""
        unknown = self.partitions.keys() - {topic.name for topic in self.declared}
        if unknown:
            known = ", ".join(sorted(topic.name for topic in self.declared))
            message = (
                f"KAFKA_TOPIC_PARTITIONS names {', '.join(sorted(unknown))}, which no contract "
                f"declares. Use the names without a prefix: {known}."
            )
            raise SlipwayError(message)

    @property
    def accepted(self) -> dict[str, tuple[int, int]]:
        """Return accepted and declared counts of the topics for which they differ."""
        return {
            topic.name: (count, topic.partitions)
            for topic in self.declared
            if (count := self.count_of(topic)) != topic.partitions
        }

    def count_of(self, topic: TopicDeclaration) -> int:
        """Return the number of partitions that a topic must have."""
        return self.partitions.get(topic.name, topic.partitions)

    async def diff(self) -> list[Difference]:
        """Return the differences; an empty list means that all is as declared.

        Raises:
            SlipwayError: the broker is unavailable, or rejects a request.
        """
        async with topic_admin(self.bootstrap_servers, self.security) as admin:
            return await self._diff(admin)

    async def apply(self) -> Applied:
        """Create what is missing, and alter the settings that differ, until nothing differs.

        Returns once the broker has seen the changes: its metadata lag behind the controller's.

        Another process may do the same at the same time, and Kafka has no lock. Each change is
        therefore compared with what Kafka has afterwards, and made again if another process has
        undone it. If both have the same declarations, the result is the same as of one; if not, it
        is as if one had run after the other.

        Raises:
            SlipwayError: the broker is unavailable, rejects a request, or has a topic with another
                number of partitions.
        """
        async with topic_admin(self.bootstrap_servers, self.security) as admin:
            changes = _Changes()
            left = await self._diff(admin)
            try:
                async with asyncio.timeout(_SEEN_SECONDS):
                    while left:
                        await self._change(admin, left, changes)
                        # At random: two processes with different declarations would otherwise undo
                        # each other's change, each before the other one has seen its own.
                        await asyncio.sleep(random.uniform(0, _POLL_SECONDS))  # noqa: S311  # no secret
                        left = await self._diff(admin)
            except TimeoutError as error:
                raise _not_seen(left) from error
        return changes.applied

    async def apply_when_there(self, seconds: float) -> Applied:
        """Apply, and wait up to `seconds` for a broker that is still starting."""
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
        count = str(self.count_of(declared))
        pairs = {"partitions": (str(present.partitions), count)} | {
            setting: (present.settings.get(setting), value) for setting, value in wanted.items()
        }
        return [
            Difference(topic=name, setting=setting, present=has, declared=wants)
            for setting, (has, wants) in pairs.items()
            if has != wants
        ]

    def _settings(self, declared: TopicDeclaration, replicas: int) -> dict[str, str]:
        return declared_settings(declared) | {
            "min.insync.replicas": str(self.replication.min_insync_of(replicas))
        }

    async def _new(self, admin: TopicAdmin, names: Iterable[str]) -> list[NewTopic]:
        factor = self.replication.factor_on(await admin.brokers())
        wanted = {self.prefix + topic.name: topic for topic in self.declared}
        return [
            NewTopic(
                name=name,
                num_partitions=self.count_of(wanted[name]),
                replication_factor=factor,
                topic_configs=self._settings(wanted[name], factor),
            )
            for name in names
        ]

    async def _change(
        self, admin: TopicAdmin, differences: list[Difference], changes: "_Changes"
    ) -> None:
        """Create and alter once, and add to `changes` what this process did."""
        self._refuse_other_partitions(differences)
        missing = [each.topic for each in differences if each.setting == "topic"]
        if missing:
            changes.created += await admin.create(await self._new(admin, missing))
        altered = [each for each in differences if each.setting != "topic"]
        await _alter(admin, altered)
        changes.altered.update(dict.fromkeys(altered))

    def _refuse_other_partitions(self, differences: Iterable[Difference]) -> None:
        wrong = [each for each in differences if each.setting == "partitions"]
        if not wrong:
            return
        names = {each.topic: each.topic.removeprefix(self.prefix) for each in wrong}
        facts = "; ".join(
            f"{each.topic} has {each.present} partitions where {each.declared} are "
            + ("accepted" if names[each.topic] in self.partitions else "declared")
            for each in wrong
        )
        accept = ",".join(f"{names[each.topic]}={each.present}" for each in wrong)
        message = (
            f"{facts}. A partition count is never changed in place: keys would move to other "
            "partitions, and their events overtake those before the change. If it was changed on "
            f"purpose, set KAFKA_TOPIC_PARTITIONS={accept} to accept it, as "
            "docs/runbooks/events.md describes. If not, declare a new topic, or delete the old "
            "one in development."
        )
        raise SlipwayError(message)


def _not_seen(left: Iterable[Difference]) -> SlipwayError:
    names = ", ".join(sorted({each.topic for each in left}))
    message = (
        f"The topics {names} are not as declared {_SEEN_SECONDS:g} s after they were changed. See "
        "the logs of the broker and the controller, and whether another process changes the topics."
    )
    return SlipwayError(message)


async def _alter(admin: TopicAdmin, differences: Iterable[Difference]) -> None:
    changes: dict[str, dict[str, str]] = {}
    for each in differences:
        changes.setdefault(each.topic, {})[each.setting] = each.declared
    if changes:
        await admin.alter(changes)


def _milliseconds(time: timedelta) -> str:
    return str(int(time.total_seconds() * 1000))
