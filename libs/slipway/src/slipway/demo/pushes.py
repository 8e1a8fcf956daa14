"""The pushes that the demo's customer receives on the live feed."""

import asyncio
import time
from dataclasses import dataclass

from client import Feed
from slipway.errors import SlipwayError


@dataclass(frozen=True, slots=True)
class Push:
    """A notification about an order; `at` is when it arrived, in nanoseconds since 1970."""

    type: str
    order_id: str
    at: int


async def next_push(feed: Feed, *, hop: str, limit: float) -> Push:
    """Return the next notification about an order.

    Args:
        feed: the open feed.
        hop: the name of the hop that it ends, for the error.
        limit: seconds to wait.

    Raises:
        SlipwayError: no notification arrived in time, or the feed was closed.
    """
    try:
        async with asyncio.timeout(limit):
            async for item in feed:
                about = item.data.get("data", {}).get("order_id")
                if item.type == "notification" and about is not None:
                    return Push(str(item.data.get("type")), str(about), time.time_ns())
    except TimeoutError as error:
        message = (
            f"The hop `{hop}` is missing: no notification arrived within {limit:g} s. See the "
            "logs of orders-worker, notifications-worker and notifications."
        )
        raise SlipwayError(message) from error
    message = (
        f"The hop `{hop}` is missing: the feed was closed before the notification. See the log "
        "of notifications."
    )
    raise SlipwayError(message)
