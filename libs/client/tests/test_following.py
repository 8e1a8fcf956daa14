"""A followed feed survives its connections: complete, in order, each item once."""

import asyncio
import random
import time
from contextlib import suppress
from typing import Self

import pytest
from httpx import Request, Response

from client import (
    AnswerError,
    Backoff,
    Connected,
    FeedError,
    FeedItem,
    FollowedFeed,
    ProblemError,
    SlipwayClient,
    TokenError,
    Tokens,
)

from .conftest import AT_ONCE
from .feeds import FeedServer, at_random, once

SECONDS = 30
SHORT = Tokens(access_token="good", refresh_token="r", expires_in=600, scope="")


def follow(client: SlipwayClient, last_event_id: int | None = None) -> FollowedFeed:
    return client.follow("good", last_event_id=last_event_id, backoff=AT_ONCE)


async def ids_of(feed: FollowedFeed, number: int) -> list[int | None]:
    async with asyncio.timeout(SECONDS):
        return [(await anext(feed)).event_id for _ in range(number)]


async def ids_until_the_end(feed: FollowedFeed) -> list[int | None]:
    return [item.event_id async for item in feed]


class Silent(Connected):
    """A connection that ends before its first item."""

    def __init__(self) -> None:
        super().__init__("test")
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True

    async def __anext__(self) -> FeedItem:
        raise StopAsyncIteration


async def test_a_feed_that_is_cut_at_random_is_complete_ordered_and_without_doubles(
    served: SlipwayClient, feeds: FeedServer
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    feeds.cut = at_random(0.2, seed)
    total = 300
    await feeds.publish(100)
    async with follow(served, last_event_id=0) as feed:
        begun = await ids_of(feed, 100)
        publishing = asyncio.create_task(_publish_slowly(feeds, total - 100))
        assert begun + await ids_of(feed, total - 100) == list(range(1, total + 1))
        await publishing
    assert len(feeds.connections) > 20


async def _publish_slowly(feeds: FeedServer, number: int) -> None:
    for _ in range(number):
        await feeds.publish()
        await asyncio.sleep(0)


async def test_a_connection_lost_before_its_first_item_resumes_where_it_began(
    served: SlipwayClient, feeds: FeedServer
) -> None:
    await feeds.publish(7)
    feeds.ends = [1011]
    async with follow(served) as feed:
        assert feed.event_id == 7
        await feeds.publish()  # while no connection is open, or just before it is lost
        assert await ids_of(feed, 1) == [8]
    assert [one.get("last_event_id") for one in feeds.connections] == [None, 7]


async def test_a_cut_between_ready_and_reset_does_not_hide_the_gap(
    served: SlipwayClient, feeds: FeedServer
) -> None:
    """`ready` names the position after the gap. A client that resumed there would miss `reset`."""
    await feeds.publish(9)
    feeds.oldest = 8
    cuts = iter([False, True])  # `ready` is sent, `reset` is not
    feeds.cut = lambda: next(cuts, False)
    async with follow(served, last_event_id=3) as feed:
        async with asyncio.timeout(SECONDS):
            first = await anext(feed)
        assert (first.type, feed.event_id) == ("reset", 9)
        await feeds.publish()
        assert await ids_of(feed, 1) == [10]
    assert [one["last_event_id"] for one in feeds.connections] == [3, 3]


async def test_an_orderly_close_is_no_end(served: SlipwayClient, feeds: FeedServer) -> None:
    feeds.ends = [1000, 1001, 1012, 1013]
    async with follow(served) as feed:
        publishing = asyncio.create_task(_publish_slowly(feeds, 3))
        ids = await ids_of(feed, 3)
        await publishing
    assert ids == [1, 2, 3]
    assert len(feeds.connections) == 5


async def test_a_rejected_token_is_renewed_once_and_the_feed_goes_on(
    served: SlipwayClient, feeds: FeedServer
) -> None:
    token = served.renewing(SHORT)
    async with served.follow(token, backoff=AT_ONCE) as feed:
        await feeds.publish()
        assert await ids_of(feed, 1) == [1]
        feeds.valid = {"none, until the refresh"}
        feeds.cut = once()
        await feeds.publish()
        assert await ids_of(feed, 1) == [2]
    assert [one["token"] for one in feeds.connections] == ["good", "good", "fresh-1"]


async def test_a_token_that_is_rejected_again_ends_the_feed(
    served: SlipwayClient, feeds: FeedServer
) -> None:
    feeds.valid = set()
    with pytest.raises(FeedError, match="The token is not valid") as rejected:
        await follow(served).__aenter__()
    assert (rejected.value.code, len(feeds.connections)) == (4401, 1)


async def test_a_log_in_session_that_has_ended_ends_the_feed(
    served: SlipwayClient, feeds: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ended(_: str) -> Tokens:
        raise TokenError(error="invalid_grant", description="Log in again.")

    monkeypatch.setattr(served, "refresh", ended)
    feeds.valid = set()
    with pytest.raises(TokenError, match="invalid_grant"):
        await served.follow(served.renewing(SHORT), backoff=AT_ONCE).__aenter__()


@pytest.mark.parametrize(
    "refusal",
    [
        Response(
            429,
            headers={"Content-Type": "application/problem+json", "Retry-After": "1"},
            text="{}",
        ),
        Response(
            502,
            headers={"Content-Type": "text/html", "Retry-After": "1"},
            text="<h1>Bad Gateway</h1>",
        ),
    ],
)
async def test_a_renewal_that_is_refused_for_a_time_does_not_end_the_feed(
    served: SlipwayClient,
    feeds: FeedServer,
    monkeypatch: pytest.MonkeyPatch,
    refusal: Response,
) -> None:
    """A rate limit, or a load balancer without a gateway behind it."""
    refusal.request = Request("POST", "http://gateway/api/v1/auth/token")
    refusals = [ProblemError.of(refusal) or AnswerError(refusal, "without a problem document")]
    refresh = served.refresh

    async def refused_once(refresh_token: str) -> Tokens:
        if refusals:
            raise refusals.pop()
        return await refresh(refresh_token)

    monkeypatch.setattr(served, "refresh", refused_once)
    feeds.valid = {"none, until the refresh"}
    began = time.monotonic()
    async with served.follow(served.renewing(SHORT), backoff=AT_ONCE) as feed:
        assert time.monotonic() - began >= 1
        await feeds.publish()
        assert await ids_of(feed, 1) == [1]
    assert not refusals


@pytest.mark.parametrize("code", [4400, 4403, 1009])
async def test_a_refusal_that_would_be_repeated_ends_the_feed(
    served: SlipwayClient, feeds: FeedServer, code: int
) -> None:
    feeds.ends = [code]
    async with follow(served) as feed:
        with pytest.raises(FeedError) as refused:
            await anext(feed)
    assert (refused.value.code, refused.value.permanent) == (code, True)
    assert len(feeds.connections) == 1


async def test_delays_grow_until_an_item_arrives_although_connections_open(
    served: SlipwayClient, feeds: FeedServer
) -> None:
    """A server that accepts and drops connections must not be asked without a delay."""
    asked: list[int] = []

    class Counting(Backoff):
        def delay(self, attempt: int) -> float:
            asked.append(attempt)
            return 0.0

    feeds.ends = [1011] * 3
    async with served.follow("good", backoff=Counting()) as feed:
        publishing = asyncio.create_task(_publish_slowly(feeds, 1))
        assert await ids_of(feed, 1) == [1]
        await publishing
        feeds.cut = once()
        await feeds.publish()
        assert await ids_of(feed, 1) == [2]
    assert asked == [1, 2, 3, 1]


async def test_a_server_that_stops_says_when_to_come_back(
    served: SlipwayClient, feeds: FeedServer
) -> None:
    feeds.ends, feeds.reconnect_ms = [1012], 300
    never = Backoff(first=10**6, most=10**6)
    async with served.follow("good", backoff=never) as feed:
        publishing = asyncio.create_task(_publish_slowly(feeds, 1))
        began = time.monotonic()
        assert await ids_of(feed, 1) == [1]
        await publishing
    assert time.monotonic() - began >= 0.3


async def test_a_wait_for_an_item_can_be_cancelled_and_repeated(
    served: SlipwayClient, feeds: FeedServer
) -> None:
    async with follow(served) as feed:
        waiting = asyncio.create_task(anext(feed))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await feeds.publish()
        assert await ids_of(feed, 1) == [1]


async def test_a_cancelled_wait_for_the_next_connection_is_continued(
    served: SlipwayClient, feeds: FeedServer
) -> None:
    """Else a caller with a short time limit would come back before the server wants it to."""
    feeds.ends, feeds.reconnect_ms = [1012], 800
    async with follow(served) as feed:
        await feeds.publish()
        began = time.monotonic()
        taken: list[int | None] = []
        while not taken:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    taken.append((await anext(feed)).event_id)
    assert time.monotonic() - began >= 0.8
    assert len(feeds.connections) == 2


async def test_two_tasks_share_one_connection(served: SlipwayClient, feeds: FeedServer) -> None:
    async with served.follow(served.renewing(SHORT), last_event_id=0, backoff=AT_ONCE) as feed:
        waiting = [asyncio.create_task(anext(feed)) for _ in range(2)]
        await asyncio.sleep(0)  # both wait for an item now
        feeds.cut = once()
        await feeds.publish()
        await feeds.publish()
        async with asyncio.timeout(SECONDS):
            taken = [(await one).event_id for one in waiting]
    assert taken == [1, 2]
    assert len(feeds.connections) == 2


async def test_two_tasks_that_find_no_connection_open_one() -> None:
    class Once(Silent):
        async def __aenter__(self) -> Self:
            await asyncio.sleep(0)
            return self

        async def __anext__(self) -> FeedItem:
            self.event_id = (self.event_id or 0) + 1
            return FeedItem(type="notification", event_id=self.event_id)

    connections: list[Silent] = []

    def connect(_: str, __: int | None) -> Connected:
        connections.append(Once())
        return connections[-1]

    feed = FollowedFeed(connect, "good", backoff=AT_ONCE)
    async with asyncio.timeout(SECONDS):
        taken = await asyncio.gather(anext(feed), anext(feed))
    assert [one.event_id for one in taken] == [1, 2]
    await feed.aclose()
    assert [one.closed for one in connections] == [True]


async def test_closing_it_ends_the_iteration_of_another_task(
    served: SlipwayClient, feeds: FeedServer
) -> None:
    async with follow(served) as feed:
        waiting = asyncio.create_task(ids_until_the_end(feed))
        await asyncio.sleep(0)  # it waits for an item now
    async with asyncio.timeout(SECONDS):
        assert await waiting == []
    assert len(feeds.connections) == 1


async def test_closing_it_between_two_connections_ends_the_iteration(
    served: SlipwayClient, feeds: FeedServer
) -> None:
    waits = asyncio.Event()

    class Never(Backoff):
        def delay(self, attempt: int) -> float:
            waits.set()
            return 10.0**6 * attempt

    feeds.ends = [1011]
    async with served.follow("good", backoff=Never()) as feed:
        waiting = asyncio.create_task(ids_until_the_end(feed))
        async with asyncio.timeout(SECONDS):
            await waits.wait()
    async with asyncio.timeout(SECONDS):
        assert await waiting == []
    assert len(feeds.connections) == 1


async def test_closing_it_while_it_connects_leaves_no_connection_open() -> None:
    connecting, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Silent):
        async def __aenter__(self) -> Self:
            connecting.set()
            await go_on.wait()
            return self

    connections = [Silent(), Slow()]
    opened = iter(connections)
    feed = FollowedFeed(lambda _, __: next(opened), "good", backoff=AT_ONCE)
    await feed.__aenter__()
    waiting = asyncio.create_task(ids_until_the_end(feed))
    await connecting.wait()
    await feed.aclose()
    go_on.set()
    async with asyncio.timeout(SECONDS):
        assert await waiting == []
    assert [one.closed for one in connections] == [True, True]
