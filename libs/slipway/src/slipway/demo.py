"""The main job, shown: one order from the request to the push, each hop with its time."""

import asyncio
import secrets
import time
from dataclasses import dataclass
from uuid import uuid4

import httpx
from rich.table import Table

from client import (
    Address,
    Feed,
    NewOrder,
    Order,
    OrderItem,
    Product,
    SlipwayClient,
)
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.hops import Hop, HopKind, find_hops
from slipway.refusals import refusals_of
from slipway.spans import Trace

_LIMIT_SECONDS = 10.0
_POLL_SECONDS = 0.2
_NANO = 1_000_000
_ADDRESS = Address(
    name="Dora Demo", line1="Harbour Road 1", city="Kiel", postal_code="24103", country="DE"
)


@dataclass(frozen=True, slots=True)
class _Request:
    """What the order is placed with."""

    token: str
    product: Product
    trace_id: str
    limit: float


@dataclass(frozen=True, kw_only=True)
class Journey:
    """What one run of the demo saw; times are in nanoseconds since 1970."""

    order: Order
    trace_id: str
    sent: int
    answered: int
    received: int
    hops: list[Hop]

    def rows(self) -> list[tuple[str, float, str]]:
        """Each hop with its time after the request, in milliseconds, and what it is."""
        hops = [(hop.kind.name, hop.at, hop.kind.shows) for hop in self.hops]
        own = [
            ("request", self.sent, "POST /api/v1/orders leaves the client"),
            ("received", self.received, "the client has it from the WebSocket"),
            ("answered", self.answered, "201: the client has the order"),
        ]
        ordered = sorted([*hops, *own], key=lambda row: row[1])
        return [(name, (at - self.sent) / _NANO, shows) for name, at, shows in ordered]


async def play(
    gateway_url: str, traces_url: str | None, reporter: Reporter, *, limit: float = _LIMIT_SECONDS
) -> Journey:
    """Play the path against a running system.

    Args:
        gateway_url: the API.
        traces_url: the trace sink; None: only the client's own hops are shown.
        reporter: told of each step.
        limit: seconds to wait for the push, and again for the spans.

    Raises:
        SlipwayError: a call was refused, or a hop is missing after the limit.
    """
    with refusals_of("the demo can't go on"):
        async with SlipwayClient(gateway_url, trust_env=False) as client:
            return await _play(client, traces_url, reporter, limit)


async def _play(
    client: SlipwayClient, traces_url: str | None, reporter: Reporter, limit: float
) -> Journey:
    password = secrets.token_urlsafe(16)
    email = f"demo-{uuid4().hex[:12]}@example.com"
    await client.register(email=email, password=password, full_name="Dora Demo")
    reporter.say(f"registered {email}")
    token = (await client.login(email=email, password=password)).access_token
    reporter.say("logged in")
    product = await _available(client)
    reporter.say(f"chose {product.name}, {product.price.amount / 100:.2f} {product.price.currency}")
    async with client.feed(token) as feed:
        reporter.say("opened the live feed")
        trace_id = secrets.token_hex(16)
        sent = time.time_ns()
        order, answered, received = await _order(
            client, feed, _Request(token, product, trace_id, limit)
        )
    reporter.say(f"placed order {order.id}; its notification arrived. Trace {trace_id}")
    hops: list[Hop] = []
    if traces_url is not None:
        hops = await _wait_for_hops(f"{traces_url}/traces/{trace_id}", limit)
    return Journey(
        order=order,
        trace_id=trace_id,
        sent=sent,
        answered=answered,
        received=received,
        hops=hops,
    )


async def _available(client: SlipwayClient) -> Product:
    page = await client.list_products(limit=100)
    for product in page.items:
        if product.stock > 0:
            return product
    message = "no product is in stock: `slipway up` seeds a catalogue, and `slipway seed` elsewhere"
    raise SlipwayError(message)


async def _order(client: SlipwayClient, feed: Feed, request: _Request) -> tuple[Order, int, int]:
    """Place the order; answers it, and when it and its notification arrived.

    The notification may well arrive before the answer, so both are awaited at once.
    """
    body = NewOrder(
        items=(OrderItem(product_id=request.product.id, quantity=1),), shipping_address=_ADDRESS
    )
    # Flag 01 asks every service to record this trace, whatever its sampling.
    headers = {"traceparent": f"00-{request.trace_id}-{secrets.token_hex(8)}-01"}

    async def place() -> tuple[Order, int]:
        order = await client.place_order(
            request.token, body, idempotency_key=str(uuid4()), headers=headers
        )
        return order, time.time_ns()

    async with asyncio.TaskGroup() as group:
        placing = group.create_task(place())
        arriving = group.create_task(_notification(feed, request.limit))
    order, answered = placing.result()
    order_id, received = arriving.result()
    if order_id != str(order.id):
        message = f"the feed told of order {order_id} in place of {order.id}"
        raise SlipwayError(message)
    return order, answered, received


async def _notification(feed: Feed, limit: float) -> tuple[str, int]:
    """The order that the first notification is about, and when it came."""
    try:
        async with asyncio.timeout(limit):
            async for item in feed:
                about = item.data.get("data", {}).get("order_id")
                if item.type == "notification" and about is not None:
                    return str(about), time.time_ns()
    except TimeoutError as error:
        message = (
            f"hop `received` is missing: no notification in {limit:g} s. "
            "The logs of orders-worker, notifications-worker and notifications say more"
        )
        raise SlipwayError(message) from error
    message = "hop `received` is missing: the feed was closed before the notification"
    raise SlipwayError(message)


async def _wait_for_hops(url: str, limit: float) -> list[Hop]:
    """The hops from the trace sink, which processes tell of in batches, so a little later."""
    missing: list[HopKind] = []
    try:
        async with (
            asyncio.timeout(limit),
            httpx.AsyncClient(timeout=5, trust_env=False) as http,
        ):
            while True:
                trace = Trace.model_validate_json((await http.get(url)).content)
                found, missing = find_hops(trace.spans)
                if not missing:
                    return found
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        lacks = "; ".join(
            f"`{kind.name}` (a span `{''.join(kind.span)}` of {kind.service})" for kind in missing
        )
        message = f"missing in the trace after {limit:g} s: {lacks}. It is at {url}"
        raise SlipwayError(message) from error


def as_table(journey: Journey) -> Table:
    """For people."""
    table = Table("hop", "ms", "what")
    table.columns[1].justify = "right"
    for name, milliseconds, shows in journey.rows():
        table.add_row(name, f"{milliseconds:.1f}", shows)
    return table
