"""The CPU time of a transition of an order, beside that of placing one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from uuid import UUID, uuid4

import httpx

from bench.machine import cpu_seconds, python_versions
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Sample, cpu_ratio, take_turns
from bench.shop import ADDRESS, fill_catalogue, start_orders
from slipway.local.program import Program

TOOLS = ()
PLACE = "place an order"
CONFIRM = "confirm an order"
_BAR = 0.6
_PRODUCTS = 100
_CLIENTS = 8
_A_SECOND = 100
_METHOD = f"""\
{_CLIENTS} clients send requests directly to the orders process: orders of two products, each with
an `Idempotency-Key`, or transitions of orders that were placed before the round, without one: a
repeated transition is refused by the order's status. The bar compares the CPU time of the orders
process for one request, as the kernel counts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Warehouse:
    client: httpx.AsyncClient
    process: Program
    products: Sequence[UUID]

    async def place(self, seconds: float) -> Sample:
        return await self._measured(self._place, [None] * round(seconds * _A_SECOND))

    async def confirm(self, seconds: float) -> Sample:
        orders: list[str] = []

        async def place(_: None) -> None:
            orders.append(await self._place(None))

        await _each(place, [None] * round(seconds * _A_SECOND))
        return await self._measured(self._confirm, orders)

    async def _measured[T](self, send: Callable[[T], Awaitable[object]], over: list[T]) -> Sample:
        operations, before, started = len(over), cpu_seconds(self.process), monotonic()
        await _each(send, over)
        return Sample(
            operations=operations,
            seconds=monotonic() - started,
            cpu=cpu_seconds(self.process) - before,
        )

    async def _place(self, _: None) -> str:
        number = uuid4().int
        one, two = (self.products[(number + place) % len(self.products)] for place in (0, 1))
        lines = [{"product_id": str(product), "quantity": 1} for product in (one, two)]
        body = {"items": lines, "shipping_address": ADDRESS.model_dump()}
        placed = await self.client.post(
            "/api/v1/orders", json=body, headers={"Idempotency-Key": uuid4().hex}
        )
        order: str = placed.raise_for_status().json()["id"]
        return order

    async def _confirm(self, order: str) -> None:
        (await self.client.post(f"/api/v1/orders/{order}/confirm")).raise_for_status()


async def _each[T](send: Callable[[T], Awaitable[object]], over: list[T]) -> None:
    """Send one request for each of `over`, which is emptied, by several clients."""

    async def client() -> None:
        while over:
            await send(over.pop())

    async with asyncio.TaskGroup() as clients:
        for _ in range(_CLIENTS):
            clients.create_task(client())


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    _, _, process = await start_orders(rig)
    products = await fill_catalogue(rig, process.spec.address, _PRODUCTS)
    return await compare(rig, process, products, pace)


async def compare(rig: Rig, process: Program, products: Sequence[UUID], pace: Pace) -> Finding:
    """Measure both kinds of request in turns, with orders of two of `products`."""
    (user,) = await rig.users(1, "orders:write", "orders:fulfil")
    headers = {"Authorization": f"Bearer {user.token}"}
    async with httpx.AsyncClient(
        base_url=process.spec.address, headers=headers, trust_env=False, timeout=30
    ) as client:
        shop = _Warehouse(client=client, process=process, products=products)
        sides = {CONFIRM: shop.confirm, PLACE: shop.place}
        samples = await take_turns(sides, pace, rig.reporter.say)
    return Finding(
        title="A transition of an order",
        lines=[
            Line(
                what="CPU time of the orders process for a transition of an order",
                measured=cpu_ratio(samples[CONFIRM], samples[PLACE]),
                unit="placing one",
                bar=_BAR,
                at_most=True,
            )
        ],
        method=_METHOD,
        samples=samples,
        versions=python_versions("uvicorn", "fastapi", "sqlalchemy", "asyncpg"),
    )
