"""Topics are created as declared, corrected where they differ, and never repartitioned."""

import asyncio
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from typer.testing import CliRunner

from chassis.settings import Environment
from contracts import TOPICS
from contracts.users import SESSIONS, USERS_PRIVATE
from slipway.cli import app_of
from slipway.errors import SlipwayError
from slipway.operate.topic_admin import PresentTopic, topic_admin
from slipway.operate.topics import Applied, Difference, Replication, Topics
from slipway.settings import TopicSettings

from .declared import Declared


@pytest.fixture
def prefix() -> str:
    return f"{uuid.uuid4().hex}."


@pytest.fixture
def declare(kafka_bootstrap_servers: str, prefix: str) -> Any:
    def make(*declared: Any, **options: Any) -> Topics:
        return Topics(
            bootstrap_servers=kafka_bootstrap_servers, declared=declared, prefix=prefix, **options
        )

    return make


async def read(bootstrap_servers: str, *names: str) -> dict[str, PresentTopic]:
    async with topic_admin(bootstrap_servers) as admin:
        return await admin.read(names)


async def test_missing_topics_are_made_as_declared(
    kafka_bootstrap_servers: str, prefix: str, declare: Any
) -> None:
    declared = declare(Declared("a", 3), Declared("b", 1, timestamp_type="LogAppendTime"))
    assert [each.setting for each in await declared.diff()] == ["topic", "topic"]
    assert await declared.apply() == Applied(created=(f"{prefix}a", f"{prefix}b"))
    assert await declared.diff() == []
    assert await declared.apply() == Applied()

    found = await read(kafka_bootstrap_servers, f"{prefix}a", f"{prefix}b")
    first, second = found[f"{prefix}a"], found[f"{prefix}b"]
    assert (first.partitions, first.replicas, second.partitions) == (3, 1, 1)
    assert first.settings["retention.ms"] == "3600000"
    assert first.settings["segment.ms"] == "600000"
    assert first.settings["min.insync.replicas"] == "1"
    assert first.settings["message.timestamp.type"] == "CreateTime"
    assert first.settings["compression.type"] == "producer"
    assert first.settings["cleanup.policy"] == "delete"
    assert second.settings["message.timestamp.type"] == "LogAppendTime"


async def test_settings_that_differ_are_altered_and_others_left_alone(
    kafka_bootstrap_servers: str, prefix: str, declare: Any
) -> None:
    name = f"{prefix}a"
    await declare(Declared("a", 3), Declared("same", 1)).apply()
    async with topic_admin(kafka_bootstrap_servers) as admin:
        await admin.alter({name: {"max.message.bytes": "2000000"}})
    changed = declare(
        Declared("a", 3, timedelta(hours=2), timestamp_type="LogAppendTime"), Declared("same", 1)
    )
    differences = [
        Difference(topic=name, setting="retention.ms", present="3600000", declared="7200000"),
        Difference(
            topic=name,
            setting="message.timestamp.type",
            present="CreateTime",
            declared="LogAppendTime",
        ),
    ]
    assert await changed.diff() == differences
    assert await changed.apply() == Applied(altered=tuple(differences))
    assert await changed.diff() == []
    settings = (await read(kafka_bootstrap_servers, name))[name].settings
    assert settings["max.message.bytes"] == "2000000"


async def test_partitions_are_never_changed_in_place(declare: Any, prefix: str) -> None:
    await declare(Declared("a", 3)).apply()
    changed = declare(Declared("a", 4, timedelta(hours=2)), Declared("new", 1))
    with pytest.raises(SlipwayError, match="has 3 partitions where 4 are declared"):
        await changed.apply()
    # Nothing else was changed.
    assert [(each.topic, each.setting) for each in await changed.diff()] == [
        (f"{prefix}a", "partitions"),
        (f"{prefix}a", "retention.ms"),
        (f"{prefix}new", "topic"),
    ]


async def test_what_another_set_on_a_topic_is_seen_and_set_back(
    kafka_bootstrap_servers: str, prefix: str, declare: Any
) -> None:
    """For example a codec, or compaction, which would delete events that nobody has read yet."""
    name = f"{prefix}a"
    declared = declare(Declared("a", 1))
    await declared.apply()
    async with topic_admin(kafka_bootstrap_servers) as admin:
        await admin.alter({name: {"compression.type": "lz4", "cleanup.policy": "compact"}})
    differences = (
        Difference(topic=name, setting="compression.type", present="lz4", declared="producer"),
        Difference(topic=name, setting="cleanup.policy", present="compact", declared="delete"),
    )

    async def seen() -> bool:
        return bool(await declared.diff() == list(differences))

    async with asyncio.timeout(30):
        while not await seen():  # noqa: ASYNC110  # a broker: no event
            await asyncio.sleep(0.05)
    assert await declared.apply() == Applied(altered=differences)
    assert await declared.diff() == []


async def test_a_codec_that_is_declared_is_set(declare: Any) -> None:
    declared = declare(Declared("a", 1, compression="zstd"))
    await declared.apply()
    assert await declared.diff() == []
    assert [each.setting for each in await declare(Declared("a", 1)).diff()] == ["compression.type"]


async def grow(bootstrap_servers: str, name: str, partitions: int) -> None:
    """Do what `kafka-topics.sh --alter --partitions` does; return once the broker has done it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_partitions({name: NewPartitions(partitions)})
    finally:
        await admin.close()
    async with asyncio.timeout(30):
        while (await read(bootstrap_servers, name))[name].partitions != partitions:  # noqa: ASYNC110  # a broker: no event
            await asyncio.sleep(0.05)


async def test_a_count_that_was_changed_by_hand_is_accepted_on_purpose(
    kafka_bootstrap_servers: str, prefix: str, declare: Any
) -> None:
    """Otherwise an upgrade, whose hook applies the topics, would fail permanently."""
    await declare(Declared("a", 2), Declared("b", 1)).apply()
    await grow(kafka_bootstrap_servers, f"{prefix}a", 5)
    changed = Declared("a", 2, timedelta(hours=2)), Declared("b", 1)

    with pytest.raises(
        SlipwayError,
        match=r"a has 5 partitions where 2 are declared.*KAFKA_TOPIC_PARTITIONS=a=5 to accept it",
    ):
        await declare(*changed).apply()
    accepting = declare(*changed, partitions={"a": 5})
    [altered] = (await accepting.apply()).altered
    assert altered.setting == "retention.ms"
    assert await accepting.diff() == []
    assert accepting.accepted == {"a": (5, 2)}


async def test_another_count_than_the_accepted_one_is_refused(declare: Any) -> None:
    await declare(Declared("a", 2)).apply()
    with pytest.raises(SlipwayError, match="a has 2 partitions where 5 are accepted"):
        await declare(Declared("a", 2), partitions={"a": 5}).apply()


async def test_a_topic_that_is_created_again_has_the_accepted_count(
    kafka_bootstrap_servers: str, prefix: str, declare: Any
) -> None:
    await declare(Declared("a", 2), partitions={"a": 5}).apply()
    found = await read(kafka_bootstrap_servers, f"{prefix}a")
    assert found[f"{prefix}a"].partitions == 5


def test_a_count_of_a_topic_that_nobody_declares_is_refused(declare: Any) -> None:
    with pytest.raises(SlipwayError, match=r"names c, .* without a prefix: a, b\."):
        declare(Declared("a", 2), Declared("b", 2), partitions={"c": 5})


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", {}),
        ("slipway.orders=12", {"slipway.orders": 12}),
        (" slipway.orders=12, slipway.users=8,", {"slipway.orders": 12, "slipway.users": 8}),
    ],
)
def test_accepted_counts_are_read(
    monkeypatch: pytest.MonkeyPatch, text: str, counts: dict[str, int]
) -> None:
    monkeypatch.setenv("KAFKA_TOPIC_PARTITIONS", text)
    settings = TopicSettings(environment=Environment.DEVELOPMENT)
    assert settings.kafka_topic_partitions == counts


@pytest.mark.parametrize(
    "text", ["slipway.orders", "slipway.orders=", "a=0", "a=-1", "a=x", "a=1,a=2", "12"]
)
def test_accepted_counts_that_make_no_sense_are_refused(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("KAFKA_TOPIC_PARTITIONS", text)
    with pytest.raises(ValueError, match="kafka_topic_partitions"):
        TopicSettings(environment=Environment.DEVELOPMENT)


@pytest.mark.parametrize(
    ("replication", "brokers", "expected"),
    [
        (Replication(), 1, (1, 1)),
        (Replication(), 3, (3, 2)),
        (Replication(), 9, (3, 2)),
        (Replication(factor=5, min_insync=3), 9, (5, 3)),
    ],
    ids=["one broker", "three", "many", "told"],
)
def test_replicas_follow_the_brokers(
    replication: Replication, brokers: int, expected: tuple[int, int]
) -> None:
    factor = replication.factor_on(brokers)
    assert (factor, replication.min_insync_of(factor)) == expected


async def test_a_refusal_names_the_topic(declare: Any) -> None:
    with pytest.raises(SlipwayError, match=r"rejects topic \w+\.no topic.*InvalidTopic"):
        await declare(Declared("no topic", 1)).apply()
    await declare(Declared("a", 1)).apply()
    wrong = declare(Declared("a", 1, timestamp_type="Yesterday"))
    with pytest.raises(SlipwayError, match=r"rejects the settings .*Yesterday.*InvalidConfig"):
        await wrong.apply()


async def test_an_unavailable_broker_is_named() -> None:
    away = Topics(bootstrap_servers="127.0.0.1:1", declared=(Declared("a", 1),))
    with pytest.raises(SlipwayError, match=r"on Kafka at 127\.0\.0\.1:1"):
        await away.apply()


async def test_the_contracts_topics_fit_a_broker(declare: Any, prefix: str) -> None:
    declared = declare(*TOPICS)
    await declared.apply()
    assert await declared.diff() == []
    found = await read(
        declared.bootstrap_servers, prefix + SESSIONS.name, prefix + USERS_PRIVATE.name
    )
    private = found[prefix + USERS_PRIVATE.name].settings
    assert private["message.timestamp.type"] == "LogAppendTime"
    assert found[prefix + SESSIONS.name].partitions == 1


async def test_no_client_makes_a_topic(kafka_bootstrap_servers: str, prefix: str) -> None:
    name = f"{prefix}nobody-declared-it"
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap_servers)
    consumer = AIOKafkaConsumer(name, bootstrap_servers=kafka_bootstrap_servers)
    await producer.start()
    try:
        # Both request the topic's metadata repeatedly, which is what would create the topic.
        async with asyncio.timeout(1):
            await asyncio.gather(consumer.start(), producer.send_and_wait(name, b"{}"))
    except TimeoutError:
        pass
    finally:
        await producer.stop()
        await consumer.stop()
    assert await read(kafka_bootstrap_servers, name) == {}


def test_the_command_shows_the_differences_and_mends_them(
    kafka_bootstrap_servers: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("ENVIRONMENT", "development")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap_servers)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", prefix)
    cli = CliRunner()
    before = cli.invoke(app_of("topics"), ["diff"])
    assert before.exit_code == 1
    assert f"{prefix}slipway.users.private" in before.output
    assert "missing" in before.output
    document = json.loads(cli.invoke(app_of("topics"), ["diff", "--json"]).output)
    assert document["differences"][0] == {
        "topic": f"{prefix}{TOPICS[0].name}",
        "setting": "topic",
        "present": None,
        "declared": "present",
    }
    assert "Created: " in cli.invoke(app_of("topics"), ["apply"]).output
    assert "as the contracts declare" in cli.invoke(app_of("topics"), ["apply"]).output
    after = cli.invoke(app_of("topics"), ["diff", "--json"])
    assert (after.exit_code, json.loads(after.output)) == (0, {"differences": []})


def test_the_command_says_what_an_accepted_count_costs(
    kafka_bootstrap_servers: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "development")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap_servers)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", prefix)
    cli = CliRunner()
    assert cli.invoke(app_of("topics"), ["apply"]).exit_code == 0
    asyncio.run(grow(kafka_bootstrap_servers, f"{prefix}slipway.orders", 8))
    refused = cli.invoke(app_of("topics"), ["apply"])
    assert refused.exit_code == 1
    assert "KAFKA_TOPIC_PARTITIONS=slipway.orders=8" in refused.output
    monkeypatch.setenv("KAFKA_TOPIC_PARTITIONS", "slipway.orders=8")
    accepted = cli.invoke(app_of("topics"), ["apply"])
    assert accepted.exit_code == 0
    assert "Accepted: slipway.orders has 8 partitions, not 6" in accepted.output
    assert "out of order" in accepted.output
    assert cli.invoke(app_of("topics"), ["diff"]).exit_code == 0
    monkeypatch.setenv("KAFKA_TOPIC_PARTITIONS", "slipway.order=8")
    wrong = cli.invoke(app_of("topics"), ["diff"])
    assert (wrong.exit_code, "without a prefix" in wrong.output) == (1, True)


def test_the_local_kafka_has_no_security() -> None:
    with pytest.raises(ValueError, match="Set KAFKA_BOOTSTRAP_SERVERS as well"):
        TopicSettings(environment=Environment.DEVELOPMENT, kafka_security_protocol="SSL")
