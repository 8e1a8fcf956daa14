"""The feed reports when it is open, yields each item, and reports why it ended."""

import pytest

from client import FeedError, SlipwayClient


async def test_items_come_in_order_without_pings(served: SlipwayClient) -> None:
    async with served.feed("good") as feed:
        assert feed.event_id == 7
        items = [item async for item in feed]
    assert [(item.type, item.event_id) for item in items] == [("notification", 8), ("reset", None)]
    assert items[0].data == {"a": 1}
    assert feed.event_id == 8


async def test_it_resumes_after_an_item(served: SlipwayClient) -> None:
    async with served.feed("good", last_event_id=3) as feed:
        assert feed.event_id == 3


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("refused", "sent an error.*bad token"),
        ("closed", "closed before `ready`"),
        ("strange", "which is not a message of the feed"),
        ("silent", "no `ready` within 2"),
    ],
)
async def test_a_feed_that_does_not_open_says_why(
    served: SlipwayClient, token: str, reason: str
) -> None:
    with pytest.raises(FeedError, match=reason):
        async with served.feed(token):
            pass


async def test_a_lost_connection_is_no_ordered_end(served: SlipwayClient) -> None:
    async with served.feed("broken") as feed:
        with pytest.raises(FeedError, match="was closed"):
            await anext(feed)


async def test_an_unreachable_gateway_is_named() -> None:
    async with SlipwayClient("http://127.0.0.1:1", timeout=1) as client:
        with pytest.raises(FeedError, match=r"ws://127\.0\.0\.1:1/api/v1/notifications/ws"):
            async with client.feed("good"):
                pass


async def test_it_is_used_as_a_context_manager(served: SlipwayClient) -> None:
    with pytest.raises(FeedError, match="async with"):
        await anext(served.feed("good"))
