"""Two that apply the topics at once: two releases, or a hook that ran twice. Kafka has no lock."""

import asyncio
import os
import re
import sys
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from contracts import TOPICS
from slipway.operate.topic_admin import TopicAdmin
from slipway.operate.topics import Applied, Topics

from .declared import Declared


@pytest.fixture
def declare(kafka_bootstrap_servers: str) -> Callable[..., Topics]:
    """Return the topics of one release; all releases of a test share the prefix."""
    prefix = f"{uuid.uuid4().hex}."

    def make(*declared: Declared) -> Topics:
        return Topics(bootstrap_servers=kafka_bootstrap_servers, declared=declared, prefix=prefix)

    return make


@pytest.fixture
def once_before(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have `other` run before the first call of a method of TopicAdmin."""

    def arrange(method: str, other: Callable[[], Awaitable[Any]]) -> None:
        called = getattr(TopicAdmin, method)

        async def first(self: TopicAdmin, *arguments: Any) -> Any:
            monkeypatch.setattr(TopicAdmin, method, called)
            await other()
            return await called(self, *arguments)

        monkeypatch.setattr(TopicAdmin, method, first)

    return arrange


async def test_another_creates_the_topic_between_our_look_and_our_creation(
    declare: Callable[..., Topics], once_before: Callable[..., None]
) -> None:
    """It is not created twice, and not reported as ours."""
    ours, same = declare(Declared("a", 1), Declared("b", 1)), declare(Declared("a", 1))
    once_before("create", same.apply)
    assert await ours.apply() == Applied(created=(f"{ours.prefix}b",))
    assert await ours.diff() == []


async def test_another_release_creates_it_with_other_settings_between_our_look_and_our_creation(
    declare: Callable[..., Topics], once_before: Callable[..., None]
) -> None:
    """What remains is as if we had run after it; else we would wait for our settings in vain."""
    ours, other = declare(Declared("a", 1)), declare(Declared("a", 1, timedelta(hours=2)))
    once_before("create", other.apply)
    [altered] = (await ours.apply()).altered
    assert (altered.setting, altered.present) == ("retention.ms", "7200000")
    assert await ours.diff() == []


async def test_another_release_undoes_our_change_between_it_and_our_second_look(
    declare: Callable[..., Topics], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = declare(Declared("a", 1))
    await first.apply()
    ours = declare(Declared("a", 1, timedelta(hours=2)))
    alter = TopicAdmin.alter
    undone: list[Any] = []

    async def then_undone(self: TopicAdmin, changes: Any) -> None:
        await alter(self, changes)
        if not undone:
            undone.append(changes)
            await alter(self, {f"{ours.prefix}a": {"retention.ms": "3600000"}})

    monkeypatch.setattr(TopicAdmin, "alter", then_undone)
    await ours.apply()
    assert undone
    assert await ours.diff() == []


async def test_two_releases_that_differ_both_end_and_one_of_them_is_last(
    declare: Callable[..., Topics],
) -> None:
    """Each could otherwise undo the other's change before that one has seen it, without end."""
    await declare(Declared("a", 1)).apply()
    two = declare(Declared("a", 1, timedelta(hours=2)))
    three = declare(Declared("a", 1, timedelta(hours=3)))
    await asyncio.gather(two.apply(), three.apply())
    assert [] in [await two.diff(), await three.diff()]


async def _apply_in_a_process(bootstrap_servers: str, prefix: str) -> str:
    environment = os.environ | {
        "COLUMNS": "1000",  # no line is wrapped
        "ENVIRONMENT": "development",
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
    }
    command = ("-m", "slipway", "topics", "apply")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, text
    return text


async def test_of_two_processes_at_once_exactly_one_creates_each_topic(
    kafka_bootstrap_servers: str,
) -> None:
    for _ in range(3):
        prefix = f"{uuid.uuid4().hex}."
        outputs = await asyncio.gather(
            *(_apply_in_a_process(kafka_bootstrap_servers, prefix) for _ in range(2))
        )
        created = re.findall(rf"{prefix}[\w.-]+", "".join(outputs))
        assert sorted(created) == sorted(prefix + topic.name for topic in TOPICS)
        both = Topics(
            bootstrap_servers=kafka_bootstrap_servers, declared=tuple(TOPICS), prefix=prefix
        )
        assert await both.diff() == []
