"""Kafka calls of `slipway topics`: read topics with their settings, create and alter them.

aiokafka has only the older AlterConfigs, which resets every setting that is not in the request.
This module has IncrementalAlterConfigs (KIP-339), which keeps an operator's other settings.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from chassis.library_internals.aiokafka import (
    Array,
    Boolean,
    ConfigResource,
    ConfigResourceType,
    Int8,
    Int16,
    Int32,
    Request,
    RequestStruct,
    Response,
    Schema,
    String,
    create_topics,
    send_request,
)
from slipway.errors import SlipwayError

_TOPIC = 2
_SET = 0
_NO_SECURITY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentTopic:
    """A topic as it is in Kafka.

    Attributes:
        partitions: how many.
        replicas: the replication factor.
        settings: by name, as texts; also those that are the broker's defaults.
    """

    partitions: int
    replicas: int
    settings: Mapping[str, str]


class TopicAdmin:
    """Reads and changes topics.

    Args:
        client: a started client.
    """

    def __init__(self, client: AIOKafkaAdminClient) -> None:
        self._client = client

    async def brokers(self) -> int:
        """Return the number of brokers."""
        return len((await self._client.describe_cluster())["brokers"])

    async def read(self, names: Iterable[str]) -> dict[str, PresentTopic]:
        """Return the topics that exist, by name."""
        wanted = frozenset(names)
        there = {
            topic["topic"]: [len(partition["replicas"]) for partition in topic["partitions"]]
            for topic in await self._client.describe_topics()
            if topic["topic"] in wanted
        }
        settings = await self._settings(there)
        return {
            name: PresentTopic(
                partitions=len(replicas), replicas=min(replicas), settings=settings[name]
            )
            for name, replicas in there.items()
            if replicas and name in settings
        }

    async def _settings(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        (answer,) = await self._client.describe_configs(resources)
        # An error code other than 0: this broker does not know the topic yet.
        return {
            name: {entry[0]: entry[1] for entry in entries}
            for code, _, _, name, entries in answer.resources
            if not code
        }

    async def create(self, topics: Iterable[NewTopic]) -> list[str]:
        """Create topics, and return the names of those that did not exist.

        A topic that another process has just created is no error.

        Raises:
            SlipwayError: Kafka rejects one.
        """
        answer = await create_topics(self._client, list(topics))
        created = []
        for name, code, *text in answer.topic_errors:
            if for_code(code) is TopicAlreadyExistsError:
                continue
            _refuse(code, f"topic {name}", text)
            created.append(name)
        return created

    async def alter(self, changes: Mapping[str, Mapping[str, str]]) -> None:
        """Set settings of topics, and leave all others as they are.

        Raises:
            SlipwayError: Kafka rejects one.
        """
        answer: Any = await send_request(self._client, _IncrementalAlterConfigs(changes))
        for code, text, _, name in answer.resources:
            _refuse(code, f"the settings {dict(changes[name])} of topic {name}", [text])


@asynccontextmanager
async def topic_admin(
    bootstrap_servers: str, security: Mapping[str, Any] = _NO_SECURITY
) -> AsyncIterator[TopicAdmin]:
    """Connect to Kafka.

    Args:
        bootstrap_servers: where it is.
        security: further arguments of aiokafka's clients, for TLS and SASL.

    Raises:
        SlipwayError: the broker is unavailable, or an operation fails.
    """
    client = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap_servers, client_id="slipway-topics", **security
    )
    try:
        await client.start()
        yield TopicAdmin(client)
    except KafkaError as error:
        message = (
            f"The topics on Kafka at {bootstrap_servers} can't be read or changed: {error!r}. "
            "Check the address and the user's rights."
        )
        raise SlipwayError(message) from error
    finally:
        await client.close()


def _refuse(code: int, what: str, text: Iterable[object]) -> None:
    if code:
        kind = for_code(code)
        message = f"Kafka rejects {what}: {kind.__name__} {' '.join(map(str, text))}"
        raise SlipwayError(message)


class _AlterResponse(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "resources",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class _AlterRequest(RequestStruct):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = _AlterResponse
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(
                        ("name", String("utf-8")),
                        ("config_operation", Int8),
                        ("value", String("utf-8")),
                    ),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class _IncrementalAlterConfigs(Request[_AlterRequest]):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 44

    def __init__(self, changes: Mapping[str, Mapping[str, str]]) -> None:
        self._resources = [
            (_TOPIC, topic, [(name, _SET, value) for name, value in settings.items()])
            for topic, settings in changes.items()
        ]

    def build(self, request_struct_class: type[_AlterRequest]) -> _AlterRequest:
        return request_struct_class(self._resources, False)  # noqa: FBT003  # not only validated
