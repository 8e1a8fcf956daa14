"""Each row runs once, with real processes and few requests; only the load generator is replaced.

These tests protect the path from the service's SQL to a script that pgbench can run, which would
otherwise break unnoticed.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bench import gateway, lists, orders, transitions
from bench.builds import Build
from bench.load import Requests
from bench.passthrough import create_app
from bench.proxies import Cores, start_gateway, start_plain, start_upstream
from bench.rig import Rig, open_rig
from bench.rounds import Pace, Sample
from bench.shop import Shop, open_shop
from bench.upstream import BODY, app
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.state import find_root

PACE = Pace(sweeps=1, seconds=0.3, warm_up=0.1)
ADDRESS = {"name": "A", "line1": "1", "city": "L", "postal_code": "1", "country": "GB"}


class FewRequests:
    """Sends one request for each client, as the Lua scripts do."""

    async def run(self, url: str, requests: Requests, *, clients: int, seconds: float) -> Sample:
        del seconds
        make = self._read if requests.script == "reads.lua" else self._order
        started = time.monotonic()
        async with httpx.AsyncClient(trust_env=False) as client:
            made = await asyncio.to_thread(
                lambda: [make(client, url, n, *requests.arguments) for n in range(clients)]
            )
            for answer in await asyncio.gather(*map(client.send, made)):
                answer.raise_for_status()
        return Sample(operations=clients, seconds=time.monotonic() - started, p50=1.0, p99=2.0)

    def _read(self, client: httpx.AsyncClient, url: str, number: int, tokens: str) -> httpx.Request:
        token = Path(tokens).read_text().splitlines()[number]
        return client.build_request("GET", url, headers={"Authorization": f"Bearer {token}"})

    def _order(
        self, client: httpx.AsyncClient, url: str, number: int, tokens: str, products: str, run: str
    ) -> httpx.Request:
        token = Path(tokens).read_text().splitlines()[0]
        items = [{"product_id": one, "quantity": 1} for one in Path(products).read_text().split()]
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"{run}{number:09}"}
        body = {"items": items, "shipping_address": ADDRESS}
        return client.build_request("POST", url, headers=headers, json=body)


class OnePage:
    """Reads a page, which must be full."""

    async def run(self, url: str, requests: Requests, *, clients: int, seconds: float) -> Sample:
        del clients, seconds
        [tokens] = requests.arguments
        token = (await asyncio.to_thread(Path(tokens).read_text)).strip()
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(url, headers={"Authorization": f"Bearer {token}"})
        page = answer.raise_for_status().json()
        assert len(page["items"]) == 20
        assert page["next_cursor"] is not None
        return Sample(operations=1, seconds=1.0, p50=1.0, p99=1.0)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    root = await asyncio.to_thread(find_root, Path(__file__))
    async with open_rig(Build.this(root), tmp_path / "bench", Reporter.silent()) as rig:
        yield rig


@pytest.mark.usefixtures("all_services")
async def test_the_gateways_row(rig: Rig) -> None:
    cores = Cores(load=0, proxy=0)
    upstream = await start_upstream(rig, cores)
    proxies = {
        gateway.GATEWAY: await start_gateway(rig, upstream, cores),
        gateway.PLAIN: await start_plain(rig, upstream, cores),
    }
    finding = await gateway.compare(rig, FewRequests(), upstream, proxies, PACE)
    assert [line.unit for line in finding.lines] == [gateway.PLAIN]
    assert list(finding.samples) == [gateway.GATEWAY, gateway.PLAIN, gateway.DIRECT]
    assert all(sample.cpu is not None for sample in finding.samples[gateway.GATEWAY])
    assert {"aiohttp", "httpx", "Valkey"} <= dict(finding.versions).keys()


@pytest.mark.usefixtures("all_services")
async def test_the_rows_of_orders_on_one_shop(rig: Rig) -> None:
    """Most of a row's time is the start of its servers, so three rows share them."""
    shop = await open_shop(rig, customers=1, products=2)
    await places_orders(rig, shop)
    await refuses_what_does_not_add_up(shop)
    await confirms_orders(rig, shop)
    await lists_orders(rig, shop)  # last, because it replaces what the tables hold


async def places_orders(rig: Rig, shop: Shop) -> None:
    finding = await orders.compare(rig, shop, FewRequests(), PACE, clients=2)
    assert [line.unit for line in finding.lines] == [orders.PGBENCH]
    (note,) = finding.notes
    for part in ("is 6 statements", "BEGIN", "WITH write_1", "INSERT INTO orders", "COMMIT"):
        assert part in note
    assert "PostgreSQL" in dict(finding.versions)


async def confirms_orders(rig: Rig, shop: Shop) -> None:
    finding = await transitions.compare(rig, shop.orders, shop.products, PACE)
    assert [line.what.partition(" for ")[2] for line in finding.lines] == [
        "a transition of an order"
    ]
    assert [one.operations for one in finding.samples[transitions.CONFIRM]] == [30]


async def lists_orders(rig: Rig, shop: Shop) -> None:
    place = (shop.postgres, shop.database, shop.orders)
    finding = await lists.compare(rig, place, OnePage(), PACE, orders=4000)
    assert [line.unit for line in finding.lines] == [lists.FIRST] * len(lists.LISTINGS)


async def refuses_what_does_not_add_up(shop: Shop) -> None:
    async def overstated(seconds: float) -> Sample:
        return Sample(operations=100, seconds=seconds)

    with pytest.raises(SlipwayError, match="A round of 100 orders left 0 in the table"):
        await orders.counted(shop, overstated, clients=2)(1)


async def test_the_plain_pass_through_passes_on_what_was_sent() -> None:
    seen: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(418, text="short and stout", headers={"x-pot": "tea"})

    peer = create_app("http://upstream", httpx.MockTransport(answer))
    transport = httpx.ASGITransport(app=peer)
    async with httpx.AsyncClient(transport=transport, base_url="http://peer") as client:
        got = await client.post("/a/b?c=d%20e", content=b"body", headers={"x-cup": "yes"})
    assert (got.status_code, got.text, got.headers["x-pot"]) == (418, "short and stout", "tea")
    (request,) = seen
    assert str(request.url) == "http://upstream/a/b?c=d%20e"
    assert (request.content, request.headers["x-cup"]) == (b"body", "yes")


async def test_the_upstream_responds_to_everything_alike() -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://upstream"
    ) as client:
        for answer in (await client.get("/a"), await client.post("/v1/traces", content=b"x" * 99)):
            assert (answer.status_code, answer.content) == (200, BODY)
