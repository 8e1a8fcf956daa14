"""Customers who keep their live feed open and order through the gateway, in one process.

`python -m bench.customers PLAN RESULT`, two files of JSON.
"""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from http import HTTPStatus
from itertools import batched
from random import Random
from uuid import UUID

from pydantic import BaseModel

from bench.arrivals import arrival_times, each_in_time
from bench.plans import carry_out
from bench.shop import ADDRESS
from bench.wire import Wire, open_wire, post
from client import Feed, NewItem, NewOrder, SlipwayClient

_AT_ONCE = 10
_LIMIT_SECONDS = 10.0
_AGAIN_SECONDS = 0.3  # a duplicate push would arrive soon


class Plan(BaseModel):
    """The plan: customers order in turn; `seed` determines times and products."""

    gateway: str
    tokens: list[str]
    products: list[UUID]
    per_second: float
    seconds: float
    seed: int


class Result(BaseModel):
    """The result; all times are of the clock that the database uses as well.

    Attributes:
        placed: the orders that got a response.
        pushed: the times of all pushes about an order.
        seconds: from the first order that was due to the last that was sent.
        late: the longest delay between an order's due time and its sending, in seconds.
        cpu: CPU seconds of the customers themselves, from the first order on.
    """

    placed: list[UUID] = []
    pushed: dict[UUID, list[float]] = {}
    seconds: float = 0.0
    late: float = 0.0
    cpu: float = 0.0


class Customers:
    """All of them, on one event loop.

    Args:
        plan: what to do.
        client: of the gateway; for the feeds.
        wire: likewise; for the orders.
    """

    def __init__(self, plan: Plan, client: SlipwayClient, wire: Wire) -> None:
        self._plan = plan
        self._client = client
        self._wire = wire
        self._random = Random(plan.seed)  # noqa: S311  # not for secrets
        self._result = Result()
        self._told = asyncio.Event()

    async def run(self) -> Result:
        """Open the feeds, order, and wait for the pushes; the result lacks missing pushes."""
        async with AsyncExitStack() as stack:
            feeds: list[Feed] = []
            for tokens in batched(self._plan.tokens, _AT_ONCE):
                entered = (stack.enter_async_context(self._client.feed(one)) for one in tokens)
                feeds += await asyncio.gather(*entered)
            async with asyncio.TaskGroup() as group:
                following = [group.create_task(self._follow(feed)) for feed in feeds]
                cpu = time.process_time()
                await self._place_all()
                await self._until_told()
                self._result.cpu = time.process_time() - cpu
                for task in following:
                    task.cancel()
        return self._result

    async def _follow(self, feed: Feed) -> None:
        async for item in feed:
            now = time.time()
            if item.type == "notification":
                order = UUID(item.data["data"]["order_id"])
                self._result.pushed.setdefault(order, []).append(now)
                self._told.set()

    async def _place_all(self) -> None:
        plan = self._plan
        orders = [self._order(number) for number in range(round(plan.per_second * plan.seconds))]
        times = arrival_times(per_second=plan.per_second, seconds=plan.seconds, seed=plan.seed)
        began, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            async for late in each_in_time(times):
                group.create_task(self._place(orders[number]))
                self._result.late = max(self._result.late, late)
                number += 1
            self._result.seconds = max(plan.seconds, time.monotonic() - began)

    def _order(self, number: int) -> bytes:
        two = self._random.sample(self._plan.products, 2)
        items = tuple(NewItem(product_id=one, quantity=1) for one in two)
        order = NewOrder(items=items, shipping_address=ADDRESS)
        headers = {
            "authorization": f"Bearer {self._plan.tokens[number % len(self._plan.tokens)]}",
            "content-type": "application/json",
            "idempotency-key": f"{self._plan.seed}-{number}",
        }
        body = order.model_dump_json(exclude_none=True).encode()
        return post(f"{self._plan.gateway}/api/v1/orders", headers, body)

    async def _place(self, order: bytes) -> None:
        placed = await self._wire.send(order, expect=HTTPStatus.CREATED)
        self._result.placed.append(UUID(json.loads(placed)["id"]))

    async def _until_told(self) -> None:
        try:
            async with asyncio.timeout(_LIMIT_SECONDS):
                while not set(self._result.placed) <= self._result.pushed.keys():
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_AGAIN_SECONDS)  # no signal says that no push will follow


async def run(plan: Plan) -> Result:
    """Do what the plan says."""
    async with (
        SlipwayClient(plan.gateway, trust_env=False) as client,
        open_wire(plan.gateway) as wire,
    ):
        return await Customers(plan, client, wire).run()


if __name__ == "__main__":
    carry_out(Plan, run, sys.argv[1:])
