"""Consumers that know only the AsyncAPI document read our topics, and detect a broken contract."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer

from chassis.database import new_id
from chassis.messaging.events import cloud_event_headers
from contracts import Event
from contracts.examples import example, example_json
from contracts.orders import (
    ORDERS,
    OrderConfirmed,
    OrderEvent,
    OrderPlaced,
    OrderShipped,
    OrderSnapshot,
    ProductStockChanged,
)
from contracts.users import SESSIONS, SessionRevoked

from .java import command

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Message:
    headers: dict[str, str]
    key: str
    value: bytes | None


def message(event: Event, *, event_id: UUID | None = None, **changes: Any) -> Message:
    """Return the message that the outbox and the relay build from an event, with some changes."""
    source = f"/slipway/{event.topic.producer}"
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    headers = cloud_event_headers(event, event_id=event_id or new_id(), source=source, trace=trace)
    value = changes.pop("value", event.to_json())
    return Message(headers={**headers, **changes}, key=event.key, value=value)


@pytest.fixture(scope="session", params=["python", "java"])
def program(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "java":
        return command(EXAMPLES / "java" / "Consumer.java")
    return [sys.executable, "-I", str(EXAMPLES / "python" / "consumer.py")]


@pytest.fixture
async def topic(topics: Any) -> str:
    await topics.create([ORDERS.name, SESSIONS.name])
    return ORDERS.name


async def send(topics: Any, topic: str, messages: list[Message]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers)
    await producer.start()
    try:
        for each in messages:
            await producer.send_and_wait(
                topics.prefix + topic,
                each.value,
                key=each.key.encode(),
                headers=[(name, text.encode()) for name, text in each.headers.items()],
            )
    finally:
        await producer.stop()


async def run(
    program: list[str], topics: Any, topic: str, *, count: int, **changed: str
) -> tuple[int, Any, str]:
    """Run the program for this many messages. Return its status, its output and its errors.

    Args:
        program: the command.
        topics: where to read.
        topic: what to read.
        count: of messages.
        changed: arguments that are not as usual.
    """
    arguments = {
        "--asyncapi": str(ROOT / "docs" / "asyncapi.json"),
        "--bootstrap-servers": topics.bootstrap_servers,
        "--prefix": topics.prefix,
        "--topic": topic,
        "--group": f"{topics.prefix}stranger",
        "--count": str(count),
        **{f"--{name}": value for name, value in changed.items()},
    }
    words = [word for pair in arguments.items() for word in pair]
    process = await asyncio.create_subprocess_exec(
        *program, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        pytest.fail(f"{program[-1]} did not end:\n{out.decode()}\n{err.decode()}")
    assert process.returncode is not None
    return process.returncode, [json.loads(line) for line in out.splitlines()], err.decode()


def orders(count: int) -> list[list[Message]]:
    """Return the events of some orders, in order for each order."""
    steps: tuple[type[OrderEvent], ...] = (OrderPlaced, OrderConfirmed, OrderShipped)

    def history(order: UUID) -> list[Message]:
        events = [example(kind, order_id=order, version=n) for n, kind in enumerate(steps, 1)]
        return [message(event) for event in events]

    return [history(new_id()) for _ in range(count)]


async def test_each_event_is_read_once_and_in_order(program, topics, topic):
    made = orders(8)
    in_turn = [each for step in zip(*made, strict=True) for each in step]
    # A relay that was frozen sends old messages again.
    sent = [*in_turn, *in_turn[:8], message(example(ProductStockChanged))]
    await send(topics, topic, sent)
    status, events, complaint = await run(program, topics, topic, count=len(sent))
    assert status == 0, complaint
    assert len(events) == len(in_turn) + 1
    for order in made:
        headers = [each.headers for each in order]
        read = [event for event in events if event["subject"] == headers[0]["ce_subject"]]
        assert [event["id"] for event in read] == [each["ce_id"] for each in headers]
        assert [event["sequence"] for event in read] == [1, 2, 3]
        assert [event["data"] for event in read] == [
            json.loads(each.value or b"") for each in order
        ]
    stock = next(event for event in events if event["type"] == "product.stock_changed.v1")
    assert stock["data"] == json.loads(example_json(ProductStockChanged))


async def test_unknown_messages_and_older_versions_are_ignored(program, topics, topic):
    placed = example(OrderPlaced, version=4)
    more = {**json.loads(placed.to_json()), "gift_wrap": {"colour": "red"}}
    unknown = example(OrderSnapshot, order_id=new_id(), version=7)
    sent = [
        message(placed, ce_type="order.painted.v1", value=b"not even JSON"),
        message(placed, value=None),
        Message(headers={"x": "y"}, key="k", value=b"no CloudEvent"),
        message(placed, value=json.dumps(more).encode(), ce_colour="blue"),
        message(example(OrderSnapshot, order_id=placed.order_id, version=4)),
        message(unknown),
    ]
    await send(topics, topic, sent)
    status, events, complaint = await run(program, topics, topic, count=len(sent))
    assert status == 0, complaint
    assert {event["type"]: event["data"] for event in events} == {
        "order.placed.v1": more,
        "order.snapshot.v1": json.loads(unknown.to_json()),
    }
    assert len(events) == 2


async def test_events_without_a_version_are_read_too(program, topics, topic):
    del topic
    await send(topics, SESSIONS.name, [message(example(SessionRevoked)) for _ in range(2)])
    status, events, _ = await run(program, topics, SESSIONS.name, count=2)
    assert status == 0
    assert [event["sequence"] for event in events] == [None, None]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"value": b'{"version": 1}'}, "the data of order.placed.v1 don't fit"),
        ({"ce_time": "yesterday"}, "the headers of order.placed.v1 don't fit"),
    ],
    ids=["data", "format of a header"],
)
async def test_a_message_that_breaks_the_contract_stops_it(
    program, topics, topic, changes, complaint
):
    await send(topics, topic, [message(example(OrderPlaced), **changes)])
    status, events, errors = await run(program, topics, topic, count=1)
    assert (status, events) == (1, [])
    assert f"the contract is broken: {complaint}" in errors


async def test_a_topic_that_the_document_does_not_have_is_named(program, topics):
    status, events, complaint = await run(program, topics, "slipway.order", count=1)
    assert (status, events) == (1, [])
    assert "consumer: the document has no topic" in complaint
    assert "slipway.orders" in complaint
    assert len(complaint.splitlines()) == 1


@pytest.mark.parametrize("place", ["/does/not/exist.json", "http://127.0.0.1:1/asyncapi.json"])
async def test_a_document_that_can_not_be_read_is_named(program, topics, topic, place):
    status, events, complaint = await run(program, topics, topic, count=1, asyncapi=place)
    assert (status, events) == (1, [])
    assert f"consumer: the document {place} can't be read" in complaint
    assert len(complaint.splitlines()) == 1


async def test_an_inversion_is_seen(program, topics, topic):
    (order,) = orders(1)
    await send(topics, topic, [order[0], order[2], order[1]])
    status, events, errors = await run(program, topics, topic, count=3)
    assert status == 1
    assert [event["sequence"] for event in events] == [1, 3]
    assert "sequence 2 comes after 3" in errors


async def test_it_goes_on_where_it_was(program, topics, topic):
    first, second = orders(2)
    await send(topics, topic, first)
    assert len((await run(program, topics, topic, count=3))[1]) == 3
    await send(topics, topic, second)
    _, events, _ = await run(program, topics, topic, count=3)
    assert [event["id"] for event in events] == [each.headers["ce_id"] for each in second]


async def test_a_duplicate_of_an_event_from_before_a_restart_does_not_stop_it(
    program, topics, topic
):
    (order,) = orders(1)
    await send(topics, topic, order[:2])
    assert len((await run(program, topics, topic, count=2))[1]) == 2
    await send(topics, topic, [order[2], order[0], order[1]])
    status, events, complaint = await run(program, topics, topic, count=3)
    assert status == 0, complaint
    assert [event["id"] for event in events] == [order[2].headers["ce_id"]]
