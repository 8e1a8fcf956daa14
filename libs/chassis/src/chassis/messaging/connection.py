"""How every client of Kafka in a process connects: one value, made from the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

from chassis.kafka_security import security_options
from chassis.settings import KafkaSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConnection:
    """Where Kafka is.

    Attributes:
        bootstrap_servers: comma-separated ``host:port``.
        topic_prefix: goes before each topic and group.
        security: further arguments of aiokafka's clients, for TLS and SASL.
    """

    bootstrap_servers: str
    topic_prefix: str = ""
    security: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, settings: KafkaSettings) -> Self:
        """Read it from the settings."""
        return cls(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            topic_prefix=settings.kafka_topic_prefix,
            security=security_options(settings),
        )

    @property
    def options(self) -> dict[str, Any]:
        """The arguments that each of aiokafka's clients takes to connect."""
        return {"bootstrap_servers": self.bootstrap_servers, **self.security}
