"""Sends requests to the gateway at a rate, from a pod, and judges what became of each.

``load.py URL RATE STOP_FILE [failures]``: one of ten requests places an order, the others read the
catalogue, of which the gateway keeps copies, and what each service has about the customer, of which
it keeps none. The customer also follows the live feed. When STOP_FILE exists, it ends and reads the
customer's orders again: each accepted one must be there, none twice, and no other, and each must
have been pushed once. An order's recipient is its key, which tells an order that was placed twice
from one whose response was lost. It prints one line of JSON, and exits with 1 if a request failed,
or an order was lost, doubled or not pushed. Open loop: a slow response delays no other request.

A request that fails counts as failed; an order is sent again with its key until it is accepted, as
a careful client does: after longer and longer waits. When every order came again each half second,
a gateway that shed some of them got ten times as many, and never recovered. With the argument
``failures``, requests may fail, since a killed process fails the requests that it has, but no order
may be lost or doubled.
"""

import asyncio
import collections
import contextlib
import json
import random
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from client import FollowedFeed, SlipwayClient

ORDER_EVERY = 10
READS = (
    "/api/v1/products?limit=5",
    "/api/v1/orders?limit=5",
    "/api/v1/notifications/unread-count",
    "/api/v1/users/me",
)
CUSTOMER = {"email": "customer@example.com", "password": "slipway-demo-only"}
ADDRESS = {
    "line1": "1 High Street",
    "city": "London",
    "postal_code": "N1 9GU",
    "country": "GB",
}
TIMEOUT_SECONDS = 30
LONGEST_RUN_SECONDS = 600
TOKEN_SECONDS = 300
LATE_SHARE = 0.99
AGAIN_SECONDS = 1.0
LONGEST_AGAIN_SECONDS = 16.0
SETTLE_SECONDS = 60
PAGE_AGAIN_SECONDS = (0.5, 1.0, 2.0)
NEVER = ("lost", "doubled", "unknown", "never_accepted", "pushes_missing", "pushes_doubled")


class Pushes:
    """What the customer's live feed brought: each order's push, and items that came twice."""

    def __init__(self) -> None:
        self.orders: collections.Counter[str] = collections.Counter()
        self.numbers: collections.Counter[int] = collections.Counter()
        self.resets = 0
        self._more = asyncio.Event()

    @contextlib.asynccontextmanager
    async def following(self, url: str) -> AsyncIterator[None]:
        """Follow the feed while the block runs."""
        async with SlipwayClient(url) as client:
            token = await client.open_session(**CUSTOMER)
            async with client.follow(token) as feed:
                reading = asyncio.create_task(self._read(feed))
                try:
                    yield
                finally:
                    reading.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await reading

    async def _read(self, feed: FollowedFeed) -> None:
        async for item in feed:
            if item.event_id is not None:
                self.numbers[item.event_id] += 1
            self.resets += item.type == "reset"
            if item.type == "notification" and item.data.get("type") == "order.placed":
                self.orders[item.data["data"]["order_id"]] += 1
                self._more.set()

    async def missing(self, accepted: set[str]) -> int:
        """Return how many orders have no push; wait for those that are on their way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                while accepted - self.orders.keys():
                    self._more.clear()
                    await self._more.wait()
        return len(accepted - self.orders.keys())

    @property
    def doubled(self) -> int:
        """How many items came more than once."""
        counts = [*self.numbers.values(), *self.orders.values()]
        return sum(count > 1 for count in counts)


class Load:
    """The requests of one run, and their outcomes."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.seconds: list[float] = []
        self.failed_at: list[float] = []
        self.began = time.monotonic()
        self.accepted: set[str] = set()
        self.keys: set[str] = set()
        self.products: list[str] = []
        self.headers: dict[str, str] = {}

    async def prepare(self) -> None:
        """Log in, and choose products in stock."""
        async with self.session.post("/api/v1/auth/login", json=CUSTOMER) as response:
            response.raise_for_status()
            token = (await response.json())["access_token"]
        self.headers = {"Authorization": f"Bearer {token}"}
        async with self.session.get("/api/v1/products?limit=100") as response:
            items = (await response.json())["items"]
        self.products = [each["id"] for each in items if each["stock"] > 0]

    async def one(self, number: int) -> None:
        """Send one request, and count what came of it. Send an order until it is accepted."""
        if number % ORDER_EVERY:
            await self._counted(self._read(READS[number % len(READS)]))
            return
        key = str(uuid.uuid4())
        self.keys.add(key)
        body: dict[str, object] = {
            "items": [{"product_id": random.choice(self.products), "quantity": 1}],  # noqa: S311 - spreads load
            "shipping_address": {"name": key, **ADDRESS},
        }
        began = time.monotonic()
        if await self._counted(self._order(body, key)) == "order 201":
            return
        wait = AGAIN_SECONDS  # Retry-After of a gateway that sheds
        while time.monotonic() - began < SETTLE_SECONDS:
            await asyncio.sleep(wait * random.uniform(1, 1.5))  # noqa: S311 - no secret
            wait = min(wait * 2, LONGEST_AGAIN_SECONDS)
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                if await self._order(body, key) == "order 201":
                    return
        self.outcomes["order never accepted"] += 1

    async def _counted(self, request: Awaitable[str]) -> str:
        began = time.monotonic()
        try:
            outcome = await request
        except (aiohttp.ClientError, TimeoutError) as error:
            outcome = type(error).__name__
            self._note(outcome, str(error))
        now = time.monotonic()
        self.outcomes[outcome] += 1
        self.seconds.append(now - began)
        if outcome not in {"read 200", "order 201"}:
            self.failed_at.append(now)
        return outcome

    async def _read(self, path: str) -> str:
        async with self.session.get(path, headers=self.headers) as response:
            text = await response.text()
            if not response.ok:
                self._note(path, text)
            return f"read {response.status}"

    async def _order(self, body: dict[str, object], key: str) -> str:
        headers = self.headers | {"Idempotency-Key": key}
        async with self.session.post("/api/v1/orders", json=body, headers=headers) as response:
            text = await response.text()
            if response.status == HTTPStatus.CREATED:
                self.accepted.add(json.loads(text)["id"])
            else:
                self._note("order", text)
            return f"order {response.status}"

    def _note(self, what: str, text: str) -> None:
        """Print a failure, which the log of the pod keeps; the result is the last line."""
        sys.stdout.write(f"{time.monotonic() - self.began:.1f} s: {what}: {text}\n")

    async def stored(self) -> dict[str, str | None]:
        """Return the ids of all orders of the customer with their recipients, page by page."""
        stored: dict[str, str | None] = {}
        path: str | None = "/api/v1/orders?limit=100"
        while path:
            items, path = await self._page(path)
            stored |= {each["id"]: (each["shipping_address"] or {}).get("name") for each in items}
        return stored

    async def _page(self, path: str) -> tuple[list[dict[str, Any]], str | None]:
        """Return the items of a page, and the path of the next one.

        The old gateway may close its connections just then, and this judges the load: it is no part
        of it, and asks again.
        """
        for wait in (*PAGE_AGAIN_SECONDS, None):
            try:
                async with self.session.get(path, headers=self.headers) as response:
                    response.raise_for_status()
                    items = (await response.json())["items"]
                    following = response.links.get("next")
                    return items, URL(following["url"]).raw_path_qs if following else None
            except aiohttp.ClientError:
                if wait is None:
                    raise
                await asyncio.sleep(wait)
        raise AssertionError

    async def send(self, rate: float, stop: Path) -> float:
        """Send requests at the rate until the file exists; return the seconds that it took."""
        sent = 0
        renewed = began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while not stop.exists() and time.monotonic() - began < LONGEST_RUN_SECONDS:  # noqa: ASYNC240 - a stat in /tmp
                due = int((time.monotonic() - began) * rate)
                while sent < due:
                    sent += 1
                    group.create_task(self.one(sent))
                if time.monotonic() - renewed > TOKEN_SECONDS:
                    renewed = time.monotonic()
                    await self.prepare()
                await asyncio.sleep(0.01)
            return time.monotonic() - began


async def run(url: str, rate: float, stop: Path, *, failures: bool) -> int:
    """Send the load, print the result, and return the exit status."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=1)
    pushes = Pushes()
    async with (
        aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session,
        pushes.following(url),
    ):
        load = Load(session)
        await load.prepare()
        before = await load.stored()
        took = await load.send(rate, stop)
        after = await load.stored()
        missing = await pushes.missing(load.accepted)
    new = {order: key for order, key in after.items() if order not in before}
    keys = collections.Counter(new.values())
    never_accepted = load.outcomes.pop("order never accepted", 0)
    failed = {name: n for name, n in load.outcomes.items() if name not in {"read 200", "order 201"}}
    load.seconds.sort()
    result = {
        "requests": len(load.seconds),
        "rate": round(len(load.seconds) / took),
        "failed": failed,
        "failing_s": round(max(load.failed_at) - min(load.failed_at), 1) if failed else 0,
        "orders": len(load.accepted),
        "lost": len(load.accepted - new.keys()),
        "doubled": sum(count > 1 for count in keys.values()),
        "unknown": len(keys.keys() - load.keys),
        "never_accepted": never_accepted,
        "pushes_missing": missing,
        "pushes_doubled": pushes.doubled,
        "p99_ms": round(load.seconds[int(len(load.seconds) * LATE_SHARE)] * 1000),
        "longest_ms": round(load.seconds[-1] * 1000),
    }
    sys.stdout.write(json.dumps(result) + "\n")
    wrong = any(result[name] for name in NEVER)
    return 1 if wrong or pushes.resets or (failed and not failures) else 0


if __name__ == "__main__":
    address, wanted, file, *options = sys.argv[1:]
    sys.exit(asyncio.run(run(address, float(wanted), Path(file), failures=options == ["failures"])))
