"""Topics are created as declared, brought to it where they differ, and never repartitioned."""

import asyncio
import json
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from typer.testing import CliRunner

from chassis.settings import Environment
from contracts import TOPICS
from contracts.users import SESSIONS, USERS_PRIVATE
from slipway.cli import app
from slipway.errors import SlipwayError
from slipway.settings import TopicSettings
from slipway.topic_admin import PresentTopic, topic_admin
from slipway.topics import Applied, Difference, Replication, Topics


@dataclass(frozen=True)
class Declared:
    name: str
    partitions: int
    retention: timedelta = timedelta(hours=1)
    segment: timedelta = timedelta(minutes=10)
    timestamp_type: str = "CreateTime"


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
    # Nothing else was changed either.
    assert [(each.topic, each.setting) for each in await changed.diff()] == [
        (f"{prefix}a", "partitions"),
        (f"{prefix}a", "retention.ms"),
        (f"{prefix}new", "topic"),
    ]


async def test_two_at_a_time_agree(declare: Any) -> None:
    declared = declare(Declared("a", 3), Declared("b", 1))
    await asyncio.gather(*(declared.apply() for _ in range(3)))
    assert await declared.diff() == []


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
    with pytest.raises(SlipwayError, match=r"refuses topic \w+\.no topic.*InvalidTopic"):
        await declare(Declared("no topic", 1)).apply()
    await declare(Declared("a", 1)).apply()
    wrong = declare(Declared("a", 1, timestamp_type="Yesterday"))
    with pytest.raises(SlipwayError, match=r"refuses the settings .*Yesterday.*InvalidConfig"):
        await wrong.apply()


async def test_a_broker_that_is_away_is_named() -> None:
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
        # Both ask for the topic's metadata, over and over: that is what would make it.
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
    before = cli.invoke(app, ["topics", "diff"])
    assert before.exit_code == 1
    assert f"{prefix}slipway.users.private" in before.output
    assert "missing" in before.output
    document = json.loads(cli.invoke(app, ["topics", "diff", "--json"]).output)
    assert document["differences"][0] == {
        "topic": f"{prefix}{TOPICS[0].name}",
        "setting": "topic",
        "present": None,
        "declared": "present",
    }
    assert "Created: " in cli.invoke(app, ["topics", "apply"]).output
    assert "as the contracts declare" in cli.invoke(app, ["topics", "apply"]).output
    after = cli.invoke(app, ["topics", "diff", "--json"])
    assert (after.exit_code, json.loads(after.output)) == (0, {"differences": []})


def test_the_local_kafka_has_no_security() -> None:
    with pytest.raises(ValueError, match="set KAFKA_BOOTSTRAP_SERVERS as well"):
        TopicSettings(environment=Environment.DEVELOPMENT, kafka_security_protocol="SSL")
