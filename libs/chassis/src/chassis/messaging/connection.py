"""How each Kafka client of a process connects: one value, made from the settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from chassis.kafka_security import PresentSecurity
from chassis.settings import KafkaSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConnection:
    """The address of Kafka, and how to authenticate there.

    Attributes:
        bootstrap_servers: comma-separated ``host:port``.
        topic_prefix: prepended to the name of each topic and group.
        security: returns further arguments of aiokafka's clients, for TLS and SASL.
    """

    bootstrap_servers: str
    topic_prefix: str = ""
    security: Callable[[], Mapping[str, Any]] = dict

    @classmethod
    def of(cls, settings: KafkaSettings) -> Self:
        """Return the connection that the settings describe."""
        return cls(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            topic_prefix=settings.kafka_topic_prefix,
            security=PresentSecurity(settings),
        )

    @property
    def options(self) -> dict[str, Any]:
        """The connection arguments of an aiokafka client, with the present secrets.

        Read this property again for each client: a password or a CA may have changed.
        """
        return {"bootstrap_servers": self.bootstrap_servers, **self.security()}
