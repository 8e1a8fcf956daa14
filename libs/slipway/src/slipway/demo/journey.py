"""Places one order, measures each hop from the request to the push, and has it shipped."""

import asyncio
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import httpx
from rich.table import Table

from client import (
    Address,
    Feed,
    NewItem,
    NewOrder,
    Order,
    Product,
    SlipwayClient,
)
from slipway.console import Reporter
from slipway.demo.exports import export_error
from slipway.demo.fulfilment import Step, fulfil, support_token
from slipway.demo.hops import Hop, HopKind, find_hops
from slipway.demo.pushes import next_push
from slipway.errors import SlipwayError
from slipway.local.spans import Trace
from slipway.refusals import refusals_of

_LIMIT_SECONDS = 10.0
_POLL_SECONDS = 0.2
_NANO = 1_000_000
_ADDRESS = Address(
    name="Dora Demo", line1="Harbour Road 1", city="Kiel", postal_code="24103", country="DE"
)


@dataclass(frozen=True, slots=True)
class _Request:
    """The data for placing the order."""

    token: str
    product: Product
    trace_id: str
    limit: float


@dataclass(frozen=True, slots=True)
class _Sink:
    """The trace sink, and the logs that show why spans are missing."""

    url: str
    logs: Path | None
    since: datetime

    async def hops(self, trace_id: str, limit: float) -> list[Hop]:
        """Return the hops of a trace. Wait for them: processes export their spans in batches."""
        url = f"{self.url}/traces/{trace_id}"
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
                f"`{kind.name}` (a span `{''.join(kind.span)}` of {kind.service})"
                for kind in missing
            )
            reasons = await asyncio.to_thread(self._reasons, missing)
            message = (
                f"Missing in the trace after {limit:g} s: {lacks}. See the trace at {url}{reasons}"
            )
            raise SlipwayError(message) from error

    def _reasons(self, missing: Iterable[HopKind]) -> str:
        """Return for each process why it did not export its spans, one line each."""
        if self.logs is None:
            return ""
        lines = []
        for process in dict.fromkeys(kind.service for kind in missing):
            log = self.logs / f"{process}.log"
            error = export_error(log, since=self.since)
            told = (
                f"could not export its spans: {error}" if error else f"logged no error; see {log}"
            )
            lines.append(f"\n  {process} {told}")
        return "".join(lines)


@dataclass(frozen=True, kw_only=True)
class Journey:
    """The result of one run of the demo; times are in nanoseconds since 1970."""

    order: Order
    trace_id: str
    sent: int
    answered: int
    received: int
    hops: list[Hop]
    steps: list[Step]

    def rows(self) -> list[tuple[str, float, str]]:
        """Return each hop: its name, the milliseconds since the request, and a description."""
        hops = [(hop.kind.name, hop.at, hop.kind.shows) for hop in self.hops]
        own = [
            ("request", self.sent, "the client sends POST /api/v1/orders"),
            ("received", self.received, "the client receives the notification from the WebSocket"),
            ("answered", self.answered, "the client receives the response 201"),
        ]
        further = [
            (step.status, step.push.at, f"the client receives the notification `{step.push.type}`")
            for step in self.steps
        ]
        ordered = sorted([*hops, *own, *further], key=lambda row: row[1])
        return [(name, (at - self.sent) / _NANO, shows) for name, at, shows in ordered]


async def play(
    gateway_url: str,
    traces_url: str | None,
    reporter: Reporter,
    *,
    limit: float = _LIMIT_SECONDS,
    logs: Path | None = None,
) -> Journey:
    """Place an order in a running system, and have it confirmed and shipped; return its hops.

    A system without the demo's support account leaves the order as it was placed.

    Args:
        gateway_url: the address of the gateway.
        traces_url: the address of the trace sink. None shows only the client's own hops.
        reporter: prints each step.
        limit: seconds to wait for the push, and again for the spans.
        logs: the directory of the processes' logs, which show why spans are missing. None if it
            can't be read from here.

    Raises:
        SlipwayError: a call was rejected, or a hop is missing after the limit.
    """
    with refusals_of("The demo failed"):
        async with SlipwayClient(gateway_url, trust_env=False) as client:
            sink = None if traces_url is None else _Sink(traces_url, logs, datetime.now(UTC))
            return await _play(client, sink, reporter, limit)


async def _play(
    client: SlipwayClient, sink: _Sink | None, reporter: Reporter, limit: float
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
        steps = await _fulfil(client, feed, order.id, reporter, limit)
    hops: list[Hop] = []
    if sink is not None:
        hops = await sink.hops(trace_id, limit)
    return Journey(
        order=order,
        trace_id=trace_id,
        sent=sent,
        answered=answered,
        received=received,
        hops=hops,
        steps=steps,
    )


async def _fulfil(
    client: SlipwayClient, feed: Feed, order_id: UUID, reporter: Reporter, limit: float
) -> list[Step]:
    token = await support_token(client)
    if token is None:
        reporter.say("left the order as it is: this system has no support account of the demo")
        return []
    steps = await fulfil(client, feed, order_id, token=token, limit=limit)
    for step in steps:
        milliseconds = (step.push.at - step.sent) / _NANO
        reporter.say(
            f"support: the order is {step.status}; its notification arrived after "
            f"{milliseconds:.1f} ms"
        )
    return steps


async def _available(client: SlipwayClient) -> Product:
    page = await client.list_products(limit=100)
    for product in page.items:
        if product.stock > 0:
            return product
    message = (
        "No product is in stock, so no order can be placed. `slipway up` and `slipway seed` create "
        "a catalogue."
    )
    raise SlipwayError(message)


async def _order(client: SlipwayClient, feed: Feed, request: _Request) -> tuple[Order, int, int]:
    """Place the order; return it, and the times when it and its notification arrived.

    The notification may arrive before the response, so this waits for both at once.
    """
    body = NewOrder(
        items=(NewItem(product_id=request.product.id, quantity=1),), shipping_address=_ADDRESS
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
        arriving = group.create_task(next_push(feed, hop="received", limit=request.limit))
    order, answered = placing.result()
    push = arriving.result()
    if push.order_id != str(order.id):
        message = (
            f"The feed sent a notification about order {push.order_id}, not {order.id}. Run the "
            "demo again."
        )
        raise SlipwayError(message)
    return order, answered, push.at


def as_table(journey: Journey) -> Table:
    """Return the hops as a table for people."""
    table = Table("hop", "ms", "what happened")
    table.columns[1].justify = "right"
    for name, milliseconds, shows in journey.rows():
        table.add_row(name, f"{milliseconds:.1f}", shows)
    return table
