"""A page of orders with their products by GraphQL, beside the same data by REST."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import batched
from typing import Any
from urllib.parse import urlencode, urljoin

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.load import Load, Requests, Wrk
from bench.machine import cpu_seconds, python_versions
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Ratio, Sample, Samples, Side, cpu_ratio, take_turns
from bench.shop import ADDRESS, Shop, open_shop
from bench.tools import find, version_of
from client import NewItem, NewOrder
from slipway.errors import SlipwayError

TOOLS = ("wrk",)
GRAPHQL = "GraphQL"
REST = "REST"
ORDERS = 20
PRODUCTS = 2 * ORDERS
_CPU_BAR = 3.0
_CALLS_BAR = 3
_CLIENTS = 8
_READERS = 200  # each stays below the limit of 100 GraphQL requests/s, which is on
_COUNTED = 5
_MONEY = "{ amount currency }"
_QUERY = f"""
query {{ orders(first: {ORDERS}) {{
  nodes {{
    id customerId status version createdAt updatedAt total {_MONEY}
    shippingAddress {{ name line1 line2 city postalCode country }}
    items {{
      productId name quantity unitPrice {_MONEY} total {_MONEY}
      product {{ id sku name description active stock version price {_MONEY} createdAt updatedAt }}
    }}
  }}
  pageInfo {{ hasNextPage endCursor }}
}} }}
"""
_WHAT = f"GraphQL's page of {ORDERS} orders with products"
_METHOD = f"""\
The page has {ORDERS} orders of two products each, {PRODUCTS} products in all, on the real orders
service. GraphQL sends one operation that asks for every field; REST sends two requests for the same
data: `GET /orders?limit={ORDERS}`, then `GET /products` with the ids of all products. `wrk` sends
them on {_CLIENTS} connections, by {_READERS} users who may read all orders. Both go through the
gateway with its default settings, but without its cache (`CACHE_BYTES=0`): it would answer the
second request of REST, since the ids are always the same. Before the turns both responses are
checked to be whole. CPU is compared for the gateway alone, which does all of GraphQL's work, and
for the gateway and the orders process together, which the table shows. Requests to services are
what the orders process counts for {_COUNTED} operations."""

type _Alone = dict[str, list[Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What the sides send: lines of `turns.lua`."""

    graphql: str
    rest: str


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    shop = await open_shop(
        rig, customers=1, products=PRODUCTS, gateway_settings={"CACHE_BYTES": "0"}
    )
    finding = await compare(rig, shop, Wrk(find("wrk"), rig.state.path), pace)
    return replace(finding, versions=(*finding.versions, ("wrk", await version_of("wrk"))))


async def compare(rig: Rig, shop: Shop, load: Load, pace: Pace) -> Finding:
    """Place the orders, and measure both sides in turns."""
    await _place_orders(rig, shop)
    readers = await rig.users(_READERS, "orders:read", "orders:read-all")
    reads = _reads(shop)
    async with httpx.AsyncClient(
        base_url=shop.gateway.spec.address,
        headers={"Authorization": f"Bearer {readers[0].token}"},
        trust_env=False,
    ) as client:
        await _check(client, reads)
        calls = await _calls(client, shop, reads)
    alone: _Alone = {GRAPHQL: [], REST: []}
    tokens = await rig.write("readers.txt", "".join(f"{one.token}\n" for one in readers))
    sides: dict[str, Side] = {}
    for name, lines, each in ((GRAPHQL, reads.graphql, 1), (REST, reads.rest, 2)):
        file = await rig.write(f"{name}.txt", lines)
        requests = Requests(script="turns.lua", arguments=(str(tokens), str(file)))
        sides[name] = _side(shop, load, requests, each=each, alone=alone[name])
    samples = await take_turns(sides, pace, rig.reporter.say)
    return Finding(
        title="A page of orders by GraphQL",
        lines=_lines(samples, alone, calls),
        method=_METHOD,
        samples=samples,
        versions=python_versions("uvicorn", "strawberry-graphql", "graphql-core", "fastapi"),
    )


def _lines(samples: Samples, alone: _Alone, calls: float) -> Sequence[Line]:
    warm = {name: taken[1:] for name, taken in alone.items()}  # the first is the warm-up
    return [
        Line(
            what=f"requests to services for {_WHAT}",
            measured=Ratio.of([calls]),
            unit="requests",
            bar=_CALLS_BAR,
            plain=True,
            at_most=True,
        ),
        *(
            Line(
                what=f"CPU time of {whose} for {_WHAT}",
                measured=cpu_ratio(taken[GRAPHQL], taken[REST]),
                unit="the same data by REST",
                bar=_CPU_BAR,
                at_most=True,
            )
            for whose, taken in (("the gateway", warm), ("gateway and orders", samples))
        ),
    ]


async def _place_orders(rig: Rig, shop: Shop) -> None:
    (customer,) = await rig.users(1, "orders:write")
    wanted = list(batched(shop.products, 2))
    async with shop.client() as client:
        for number in range(ORDERS):
            items = tuple(
                NewItem(product_id=one, quantity=1) for one in wanted[number % len(wanted)]
            )
            order = NewOrder(items=items, shipping_address=ADDRESS)
            await client.place_order(customer.token, order, idempotency_key=f"page-{number}")


def _reads(shop: Shop) -> Reads:
    body = json.dumps({"query": " ".join(_QUERY.split())})
    ids = urlencode({"ids": sorted(map(str, shop.products)), "limit": 100}, doseq=True)
    return Reads(
        graphql=f"POST\t/graphql\t{body}\n",
        rest=f"GET\t/api/v1/orders?limit={ORDERS}\t\nGET\t/api/v1/products?{ids}\t\n",
    )


async def _check(client: httpx.AsyncClient, reads: Reads) -> None:
    """Check that both sides get all orders and products, or raise SlipwayError."""
    answers = [await _sent(client, line) for line in (reads.graphql + reads.rest).splitlines()]
    graphql, orders, products = answers
    nodes = (graphql.get("data", {}).get("orders") or {}).get("nodes", [])
    found = {item["product"]["id"] for node in nodes for item in node["items"] if item["product"]}
    wanted = {product["id"] for product in products["items"]}
    bought = {item["product_id"] for order in orders["items"] for item in order["items"]}
    whole = "errors" not in graphql and len(nodes) == len(orders["items"]) == ORDERS
    if not whole or not found == bought <= wanted:
        message = (
            f"GraphQL and REST did not return the same {ORDERS} orders with their products: "
            f"{len(nodes)} and {len(orders['items'])} orders, {len(found)} and {len(bought)} "
            f"products. GraphQL's errors: {graphql.get('errors')}"
        )
        raise SlipwayError(message)


async def _sent(client: httpx.AsyncClient, line: str) -> dict[str, Any]:
    method, path, body = line.split("\t")
    headers = {"Content-Type": "application/json"} if body else {}
    answer = await client.request(method, path, content=body or None, headers=headers)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def _calls(client: httpx.AsyncClient, shop: Shop, reads: Reads) -> float:
    """Return the number of requests that the orders process served for one operation."""
    metrics = urljoin(str(shop.orders.spec.ready_url), "/metrics")
    before = _served((await client.get(metrics)).text)
    for _ in range(_COUNTED):
        await _sent(client, reads.graphql.strip())
    return (_served((await client.get(metrics)).text) - before) / _COUNTED


def _served(metrics: str) -> float:
    """Return how many requests of the API a process has served, from the text of `/metrics`."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "http_server_request_duration_seconds_count"
        and sample.labels["route"].startswith("/api/")
    )


def _side(shop: Shop, load: Load, requests: Requests, *, each: int, alone: list[Sample]) -> Side:
    """Return a side; `each` requests make one page, and `alone` gets the gateway's own CPU."""

    async def run(seconds: float) -> Sample:
        gateway, orders = cpu_seconds(shop.gateway), cpu_seconds(shop.orders)
        sample = await load.run(
            shop.gateway.spec.address, requests, clients=_CLIENTS, seconds=seconds
        )
        gateway = cpu_seconds(shop.gateway) - gateway
        orders = cpu_seconds(shop.orders) - orders
        if each > 1:  # the latency is that of a request, not of a page
            operations = max(1, sample.operations // each)
            sample = replace(sample, operations=operations, p50=None, p99=None)
        alone.append(replace(sample, cpu=gateway))
        return replace(sample, cpu=gateway + orders)

    return run
