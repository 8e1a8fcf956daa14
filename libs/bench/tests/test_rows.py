"""Each row runs once, with real processes and few requests; only the load generator is replaced.

These tests protect the path from the service's SQL to a script that pgbench can run, which would
otherwise break unnoticed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from bench import bodies, connections, gateway, graphql, latency, lists, orders, peers, transitions
from bench.builds import Build
from bench.load import Requests
from bench.passthrough import create_app
from bench.proxies import Cores, start_gateway, start_plain, start_upstream
from bench.rig import Rig, open_rig
from bench.rounds import Pace, Sample, cpu_of
from bench.shop import Shop, open_shop
from bench.upstream import BODY, app
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.local.program import Program
from slipway.state import find_root

PACE = Pace(sweeps=1, seconds=0.3, warm_up=0.1)
CORES = Cores(load=0, proxy=0)
ADDRESS = {"name": "A", "line1": "1", "city": "L", "postal_code": "1", "country": "GB"}


class FewRequests:
    """Sends one request for each client, as the Lua scripts do."""

    async def run(self, url: str, requests: Requests, *, clients: int, seconds: float) -> Sample:
        del seconds
        make = self._makers[requests.script]
        started = time.monotonic()
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            made = await asyncio.to_thread(
                lambda: [make(client, url, n, *requests.arguments) for n in range(clients)]
            )
            for answer in await asyncio.gather(*map(client.send, made)):
                answer.raise_for_status()
        return Sample(operations=clients, seconds=time.monotonic() - started, p50=1.0, p99=2.0)

    @property
    def _makers(self) -> Mapping[str, Callable[..., httpx.Request]]:
        return {"reads.lua": self._read, "turns.lua": self._turn, "orders.lua": self._order}

    def _turn(
        self, client: httpx.AsyncClient, url: str, number: int, tokens: str, wanted: str
    ) -> httpx.Request:
        lines = Path(wanted).read_text().splitlines()
        token = Path(tokens).read_text().splitlines()[number // len(lines)]
        method, path, body = lines[number % len(lines)].split("\t")
        headers = {"Authorization": f"Bearer {token}"}
        if body:
            headers["Content-Type"] = "application/json"
        return client.build_request(
            method, httpx.URL(url).join(path), headers=headers, content=body or None
        )

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
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
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
async def test_the_rows_of_the_gateway_before_one_upstream(rig: Rig) -> None:
    """Neither wrk nor HAProxy is needed: the plain pass-through stands in for HAProxy."""
    upstream = await start_upstream(rig, CORES)
    ours = await start_gateway(rig, upstream, CORES)
    plain = await start_plain(rig, upstream, CORES)
    await reads_through_the_gateway(rig, upstream, ours, plain)
    await posts_bodies(rig, ours, plain)
    await adds_to_the_latency(rig, upstream, ours, plain)
    await has_peers_with_its_duties(rig, ours, plain)


async def reads_through_the_gateway(
    rig: Rig, upstream: Program, ours: Program, plain: Program
) -> None:
    proxies = {gateway.GATEWAY: ours, gateway.HAPROXY: plain, gateway.PLAIN: plain}
    finding = await gateway.compare(rig, FewRequests(), upstream, proxies, PACE)
    units = [gateway.HAPROXY, gateway.PLAIN, gateway.HAPROXY]
    assert [line.unit for line in finding.lines] == units
    assert [line.bar for line in finding.lines] == [0.7, 20, 0.45]
    assert list(finding.samples) == [*proxies, gateway.DIRECT]
    (one,), (peer,) = finding.samples[gateway.GATEWAY], finding.samples[gateway.HAPROXY]
    assert finding.lines[2].measured.value == pytest.approx(cpu_of(peer) / cpu_of(one))
    assert {"aiohttp", "httpx", "Valkey"} <= dict(finding.versions).keys()


async def posts_bodies(rig: Rig, ours: Program, plain: Program) -> None:
    _, wanted = (await bodies.posts(rig)).arguments
    line = await asyncio.to_thread(Path(wanted).read_text)
    body = line.rstrip("\n").split("\t")[2]
    assert len(body) == 1024
    proxies = {gateway.GATEWAY: ours, gateway.HAPROXY: plain}
    finding = await bodies.compare(rig, FewRequests(), proxies, PACE)
    assert [(line.unit, line.bar) for line in finding.lines] == [(gateway.HAPROXY, 0.5)]


async def adds_to_the_latency(rig: Rig, upstream: Program, ours: Program, plain: Program) -> None:
    programs = {gateway.GATEWAY: ours, gateway.HAPROXY: plain, gateway.DIRECT: upstream}
    pace = Pace(sweeps=1, seconds=2, warm_up=2)
    finding = await latency.compare(rig, programs, pace, cores=CORES, rate=5)
    (line,), (one,) = finding.lines, finding.samples[gateway.GATEWAY]
    assert one.operations == 10
    (direct,) = finding.samples[gateway.DIRECT]
    assert one.p50 is not None
    assert direct.p50 is not None
    assert line.measured.value == pytest.approx(one.p50 - direct.p50)
    assert "HAProxy, without the duties, adds" in finding.notes[0]


async def has_peers_with_its_duties(rig: Rig, ours: Program, plain: Program) -> None:
    finding = await peers.compare(rig, FewRequests(), {gateway.GATEWAY: ours}, PACE)
    assert list(finding.samples) == [gateway.GATEWAY]
    with pytest.raises(SlipwayError, match="answered no token with 200, not 401"):
        await peers.compare(rig, FewRequests(), {peers.HAPROXY: plain}, PACE)


@pytest.mark.usefixtures("all_services")
async def test_connections_are_held_until_the_memory_is_read(rig: Rig) -> None:
    finding = await connections.hold(rig, CORES, connections=60, sockets=5)
    assert [line.bar for line in finding.lines] == [200, 250]
    assert all(line.measured.value > 10 for line in finding.lines)
    assert [sample.operations for (sample,) in finding.samples.values()] == [60, 5]


async def test_a_connection_that_is_closed_early_voids_the_row(rig: Rig) -> None:
    @asynccontextmanager
    async def holding() -> AsyncIterator[Callable[[], int]]:
        yield lambda: 2

    upstream = await start_upstream(rig, CORES)
    with pytest.raises(SlipwayError, match="closed 2 of 3 connections before all were open"):
        await connections.held(upstream, holding(), 3)


@pytest.mark.usefixtures("all_services")
async def test_the_rows_of_orders_on_one_shop(rig: Rig) -> None:
    """Most of a row's time is the start of its servers, so four rows share them."""
    shop = await open_shop(rig, customers=1, products=2)
    await places_orders(rig, shop)
    await refuses_what_does_not_add_up(shop)
    await confirms_orders(rig, shop)
    await reads_pages_by_graphql(rig, shop)
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


async def reads_pages_by_graphql(rig: Rig, shop: Shop) -> None:
    finding = await graphql.compare(rig, shop, FewRequests(), PACE)
    requests, *cpu = finding.lines
    assert requests.measured.value == 2
    assert [line.unit for line in cpu] == ["the same data by REST"] * 2
    (page,), (two,) = finding.samples[graphql.GRAPHQL], finding.samples[graphql.REST]
    assert (page.operations, two.operations) == (8, 4)


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
