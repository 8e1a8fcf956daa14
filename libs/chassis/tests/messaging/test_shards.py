"""Shards of keys: each has one holder, relays share them fairly, and dead ones release them."""

from contextlib import AsyncExitStack

import pytest

from chassis.database import Connector
from chassis.messaging.publishing.shards import SHARDS, Shards


@pytest.fixture
async def join(offline):
    """Yield a function that opens a connection with its shards; closing it releases them."""
    async with AsyncExitStack() as stack:

        async def new(name="tests-relay"):
            opening = Connector.to(offline.urls.runtime_url).opened("tests-shards")
            return Shards(connection=await stack.enter_async_context(opening), name=name)

        yield new


async def settle(*relays):
    for _ in range(2):
        for relay in relays:
            await relay.balance()
    return [len(relay.held) for relay in relays]


async def test_one_relay_holds_all_and_several_share_without_overlap(join):
    first = await join()
    assert await first.balance()
    assert first.all_held
    assert not await first.balance()
    second, third = await join(), await join()
    assert await settle(first, second) == [8, 8]
    assert await settle(first, second, third) == [6, 6, 4]
    held = first.held + second.held + third.held
    assert sorted(held) == list(range(SHARDS))


async def test_a_newcomer_gets_nothing_before_the_holder_gives_it_back(join):
    first, second = await join(), await join()
    await first.balance()
    await second.balance()
    assert second.held == []


async def test_the_shards_of_a_relay_whose_session_ends_are_taken_over(join):
    first, second = await join(), await join()
    assert await settle(first, second) == [8, 8]
    await first._connection.close()
    assert await settle(second) == [SHARDS]


async def test_relays_of_other_services_do_not_count(join):
    ours, theirs = await join(), await join("others-relay")
    assert await settle(ours, theirs) == [SHARDS, SHARDS]


async def test_more_relays_than_shards_leave_some_without(join):
    relays = [await join() for _ in range(SHARDS + 1)]
    assert await settle(*relays) == [1] * SHARDS + [0]
