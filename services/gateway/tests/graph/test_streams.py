"""Operations as server-sent events (distinct connections mode of graphql-sse)."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest

from testkit.waiting import until

from .conftest import PROBLEM, id_of

URL = "/graphql"
STREAM = {"Accept": "text/event-stream"}
ORDERS = {"query": "subscription { orderChanged { eventId order { id } } }"}


@asynccontextmanager
async def streamed(gateway, headers, body=ORDERS):
    """Send an operation; yield an iterator over its events, as name and parsed data."""

    async def events(answer):
        name = ""
        async for line in answer.aiter_lines():
            key, _, value = line.partition(":")
            if key == "event":
                name = value.strip()
            elif key == "data":
                yield name, json.loads(value) if value.strip() else None

    async with (
        asyncio.timeout(10),
        gateway.http.stream("POST", URL, json=body, headers=STREAM | headers) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream"
        yield events(answer)


async def test_a_query_is_one_event_and_completes(gateway_of_graph, bearer):
    async with streamed(gateway_of_graph, bearer, {"query": "{ unreadCount }"}) as events:
        got = [event async for event in events]
    assert got == [("next", {"data": {"unreadCount": 3}}), ("complete", None)]


async def test_a_subscription_sends_its_events_and_ends_with_its_client(
    gateway_of_graph, bearer, system
):
    async with streamed(gateway_of_graph, bearer) as events:
        feed = await system.opened.get()
        for event_id in (101, 102):
            await feed.item(event_id, order_id=id_of(9))
            name, data = await anext(events)
            changed = {"eventId": event_id, "order": {"id": id_of(9)}}
            assert (name, data) == ("next", {"data": {"orderChanged": changed}})
        await events.aclose()
    async with asyncio.timeout(10):
        await feed.gone.wait()


async def test_a_revoked_session_ends_the_stream_with_the_problem(gateway_of_graph, bearer, system):
    async with streamed(gateway_of_graph, bearer) as events:
        await (await system.opened.get()).close(4401, "The session has ended.")
        [(name, data), last] = [event async for event in events]
    assert (name, last) == ("next", ("complete", None))
    [error] = data["errors"]
    assert error["message"] == "The session has ended."
    assert error["extensions"]["type"] == f"{PROBLEM}unauthenticated"


@pytest.mark.parametrize("code", [1012, 1013])
async def test_a_feed_that_ends_for_a_while_ends_the_stream_without_complete(
    gateway_of_graph, bearer, system, code
):
    """`complete` would tell the client that there is nothing more to come."""
    async with streamed(gateway_of_graph, bearer) as events:
        await (await system.opened.get()).close(code)
        assert [event async for event in events] == []


async def test_a_stopping_process_ends_its_streams(graph, bearer, system):
    gateway = await graph()
    async with streamed(gateway, bearer) as events:
        await system.opened.get()
        gateway.process.stopping.set()
        assert [event async for event in events] == []


async def test_streams_are_bounded_as_all_others_are(graph, bearer, system, assert_problem):
    gateway = await graph(streams=1)
    async with streamed(gateway, bearer):
        await system.opened.get()
        refused = await gateway.http.post(URL, json=ORDERS, headers=STREAM | bearer)
        assert_problem(refused, 503, "unavailable")

    async def free():
        try:
            async with streamed(gateway, bearer):
                return True
        except AssertionError:
            return False

    await until(free)


async def test_a_subscription_that_can_not_begin_is_refused_without_a_stream(
    gateway_of_graph, bearer, assert_problem
):
    http: httpx.AsyncClient = gateway_of_graph.http
    anonymous = await http.post(URL, json=ORDERS, headers=STREAM)
    assert_problem(anonymous, 401, "unauthenticated")
    plain = await http.post(URL, json=ORDERS, headers=bearer)
    assert_problem(plain, 406, "not-acceptable")
    wrong = {"query": "subscription($a: BigInt) { orderChanged(after: $a) { eventId } }"}
    answer = await http.post(URL, json=wrong | {"variables": {"a": "x"}}, headers=STREAM | bearer)
    assert (answer.status_code, answer.json().keys()) == (400, {"errors"})
