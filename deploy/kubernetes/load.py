"""Sends requests to the gateway at a rate, from a pod, and judges what became of each.

``load.py URL RATE STOP_FILE``: nine of ten requests read the catalogue, one places an order. It
ends when STOP_FILE exists, then reads the customer's orders again: each accepted one must be there
once, and no other. It prints one line of JSON, and exits with 1 if a request failed or an order was
lost or doubled. Open loop: a slow response delays no other request.
"""

import asyncio
import collections
import json
import random
import sys
import time
import uuid
from http import HTTPStatus
from pathlib import Path

import aiohttp

ORDER_EVERY = 10
CUSTOMER = {"email": "customer@example.com", "password": "slipway-demo-only"}
ADDRESS = {
    "name": "Ada",
    "line1": "1 High Street",
    "city": "London",
    "postal_code": "N1 9GU",
    "country": "GB",
}
TIMEOUT_SECONDS = 30
LONGEST_RUN_SECONDS = 600
TOKEN_SECONDS = 300
LATE_SHARE = 0.99


class Load:
    """The requests of one run, and their outcomes."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.seconds: list[float] = []
        self.accepted: set[str] = set()
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
        """Send one request, and count what came of it."""
        began = time.monotonic()
        try:
            if number % ORDER_EVERY:
                outcome = await self._read()
            else:
                outcome = await self._order()
        except (aiohttp.ClientError, TimeoutError) as error:
            outcome = type(error).__name__
        self.outcomes[outcome] += 1
        self.seconds.append(time.monotonic() - began)

    async def _read(self) -> str:
        async with self.session.get("/api/v1/products?limit=5") as response:
            await response.read()
            return f"read {response.status}"

    async def _order(self) -> str:
        body = {
            "items": [{"product_id": random.choice(self.products), "quantity": 1}],  # noqa: S311 - spreads load
            "shipping_address": ADDRESS,
        }
        headers = self.headers | {"Idempotency-Key": str(uuid.uuid4())}
        async with self.session.post("/api/v1/orders", json=body, headers=headers) as response:
            text = await response.text()
            if response.status == HTTPStatus.CREATED:
                self.accepted.add(json.loads(text)["id"])
            return f"order {response.status}"

    async def stored(self) -> list[str]:
        """Return the ids of all orders of the customer, page by page."""
        ids: list[str] = []
        path: str | None = "/api/v1/orders?limit=100"
        while path:
            async with self.session.get(path, headers=self.headers) as response:
                response.raise_for_status()
                ids += [each["id"] for each in (await response.json())["items"]]
                following = response.links.get("next")
            path = following["url"].raw_path_qs if following else None
        return ids


async def run(url: str, rate: float, stop: Path) -> int:
    """Send the load, print the result, and return the exit status."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=1)
    async with aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session:
        load = Load(session)
        await load.prepare()
        before = set(await load.stored())
        sent = 0
        renewed = began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while not stop.exists() and time.monotonic() - began < LONGEST_RUN_SECONDS:  # noqa: ASYNC240 - a stat in /tmp
                due = int((time.monotonic() - began) * rate)
                while sent < due:
                    sent += 1
                    group.create_task(load.one(sent))
                if time.monotonic() - renewed > TOKEN_SECONDS:
                    renewed = time.monotonic()
                    await load.prepare()
                await asyncio.sleep(0.01)
        took = time.monotonic() - began
        after = await load.stored()
    new = [each for each in after if each not in before]
    failed = {name: n for name, n in load.outcomes.items() if name not in {"read 200", "order 201"}}
    load.seconds.sort()
    result = {
        "requests": sent,
        "rate": round(sent / took),
        "failed": failed,
        "orders": len(load.accepted),
        "lost": len(load.accepted - set(new)),
        "doubled": len(new) - len(set(new)) + len(set(new) - load.accepted),
        "p99_ms": round(load.seconds[int(len(load.seconds) * LATE_SHARE)] * 1000),
        "longest_ms": round(load.seconds[-1] * 1000),
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if failed or result["lost"] or result["doubled"] else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(run(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))))
