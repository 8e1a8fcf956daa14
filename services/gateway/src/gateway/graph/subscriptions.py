"""The fields of `Subscription`. They show the caller's live feed."""

from collections.abc import AsyncIterator
from typing import Annotated

import strawberry

from chassis.errors import Malformed
from gateway.graph.context import Row
from gateway.graph.feed import FeedItem
from gateway.graph.objects import Info, Notification, OrderChange, stream_of
from gateway.graph.scalars import BigInt

After = Annotated[
    BigInt | None,
    strawberry.argument(
        description="The last `eventId` that you have: what came after it is sent first. 0: "
        "everything that is kept. Without it, what comes from now on."
    ),
]


async def _items(info: Info, after: int | None) -> AsyncIterator[FeedItem]:
    feed = info.context.feed
    if feed is None:
        message = "Subscriptions need a WebSocket, or `Accept: text/event-stream`."
        raise Malformed(message)
    async for item in feed.follow(after):
        info.context.begin()
        yield item


@strawberry.type
class Subscription:
    """What can be followed."""

    @stream_of(OrderChange, "Your orders, each time that one of them changes.")
    async def order_changed(self, info: Info, after: After = None) -> AsyncIterator[Row]:
        """Follow the caller's orders."""
        async for item in _items(info, after):
            data = item.data.get("data", {}) if item.kind == "notification" else item.data
            order_id = data.get("order_id") or (data.get("id") if item.kind == "order" else None)
            if isinstance(order_id, str):
                yield {"event_id": item.event_id, "order_id": order_id}

    @stream_of(Notification, "Your notifications, as they come.")
    async def notification_received(self, info: Info, after: After = None) -> AsyncIterator[Row]:
        """Follow the caller's notifications."""
        async for item in _items(info, after):
            if item.kind == "notification":
                yield {**item.data, "event_id": item.event_id}
