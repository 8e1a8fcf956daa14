"""Confirms and ships the demo's order as support, and waits for the push of each step."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from client import Feed, Order, ProblemError, SlipwayClient
from slipway.demo.pushes import Push, next_push
from slipway.errors import SlipwayError
from slipway.operate.seed import DEMO_PASSWORD, SUPPORT

_SCOPE: Final = "orders:fulfil"
_NO_LOGIN: Final = {401, 429}  # the account does not exist, or this demo has tried it too often


@dataclass(frozen=True, slots=True)
class Step:
    """One transition of the order.

    Attributes:
        status: the order's new status, also the name of the hop.
        sent: when the request was sent, in nanoseconds since 1970.
        push: the notification that the customer received.
    """

    status: str
    sent: int
    push: Push


async def support_token(client: SlipwayClient) -> str | None:
    """Return a token of the demo's support account; None if the system has no such account."""
    try:
        tokens = await client.login(email=SUPPORT, password=DEMO_PASSWORD)
    except ProblemError as error:
        if error.status in _NO_LOGIN:
            return None
        raise
    return tokens.access_token if _SCOPE in tokens.scope.split() else None


async def fulfil(
    client: SlipwayClient, feed: Feed, order_id: UUID, *, token: str, limit: float
) -> list[Step]:
    """Confirm and ship an order; return both steps.

    Args:
        client: the client of the gateway.
        feed: the open feed of the order's customer.
        order_id: the order.
        token: support's access token.
        limit: seconds to wait for each push.

    Raises:
        SlipwayError: the push of a step did not arrive, or was about something else.
    """
    return [
        await _step(advance, feed, order_id, token=token, limit=limit)
        for advance in (client.confirm_order, client.ship_order)
    ]


async def _step(
    advance: Callable[[str, UUID], Awaitable[Order]],
    feed: Feed,
    order_id: UUID,
    *,
    token: str,
    limit: float,
) -> Step:
    sent = time.time_ns()
    order = await advance(token, order_id)
    push = await next_push(feed, hop=order.status, limit=limit)
    wanted = f"order.{order.status}"
    if (push.type, push.order_id) != (wanted, str(order_id)):
        message = (
            f"The feed sent {push.type} about order {push.order_id}, not {wanted} about {order_id}."
            " Run the demo again."
        )
        raise SlipwayError(message)
    return Step(order.status, sent, push)
