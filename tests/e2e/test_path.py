"""The system's main path, from the gateway to the push, in one trace."""

import asyncio
import secrets

import httpx
import pytest

from client import ProblemError
from slipway.console import Reporter
from slipway.demo.hops import HOPS, find_hops
from slipway.demo.journey import play
from slipway.local.spans import Trace


async def test_an_order_travels_from_the_gateway_to_the_push(customer, product):
    async with customer.client.feed(customer.token) as feed:
        order = await customer.order(product.id, 2)
        async with asyncio.timeout(15):
            item = await anext(feed)
    assert order.status == "placed"
    assert order.total.amount == 2 * product.price.amount
    assert item.type == "notification"
    assert item.data["data"]["order_id"] == str(order.id)
    listed = await customer.client.list_notifications(customer.token)
    assert [entry.data["order_id"] for entry in listed.items] == [str(order.id)]


async def test_one_trace_joins_request_outbox_message_consumer_and_push(system, customer, product):
    trace_id = secrets.token_hex(16)
    async with customer.client.feed(customer.token) as feed:
        headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
        await customer.order(product.id, headers=headers)
        async with asyncio.timeout(15):
            await anext(feed)
    spans = await spans_of(system.traces_url, trace_id)
    hops, missing = find_hops(spans)
    assert not missing
    assert min(hops, key=lambda hop: hop.at).kind.name == "commit"
    at = {hop.kind.name: hop.at for hop in hops}
    assert at["consumed"] < at["stored"], "it is stored after its handler has run"
    ids = {span.span_id for span in spans}
    orphans = [span.name for span in spans if span.parent_span_id not in ids]
    assert len(orphans) == 1, "all spans but the gateway's descend from a span of the trace"


async def test_the_demo_follows_its_order_until_it_is_shipped(system):
    journey = await play(system.gateway_url, system.traces_url, Reporter.silent())
    assert [step.push.type for step in journey.steps] == ["order.confirmed", "order.shipped"]
    assert len(journey.hops) == len(HOPS)


async def spans_of(traces_url, trace_id):
    """Wait until the trace is complete; return its spans. They arrive in batches twice a second."""
    async with httpx.AsyncClient(timeout=60) as http, asyncio.timeout(15):
        while True:
            answer = await http.get(f"{traces_url}/traces/{trace_id}")
            spans = Trace.model_validate_json(answer.content).spans
            if not find_hops(spans)[1]:
                return spans
            await asyncio.sleep(0.2)


async def test_the_same_idempotency_key_orders_once(customer, product):
    first = await customer.order(product.id, key="the-one-key")
    again = await customer.order(product.id, key="the-one-key")
    assert again == first
    answer = await customer.client.get_order(customer.token, first.id)
    assert answer == first


async def test_a_person_gets_all_that_the_services_hold_of_them(customer, product):
    async with customer.client.feed(customer.token) as feed:
        order = await customer.order(product.id, key="the-key-of-this-order")
        async with asyncio.timeout(15):
            await anext(feed)
    export = (await customer.client.export_me(customer.token)).root
    me = await customer.client.me(customer.token)
    assert [account["id"] for account in export["users"]["accounts"]] == [str(me.id)]
    assert len(export["users"]["sessions"]) == 1
    assert [one["order"]["id"] for one in export["orders"]["orders"]] == [str(order.id)]
    assert len(export["orders"]["stored_responses"]) == 1
    assert [one["email"] for one in export["notifications"]["recipients"]] == [me.email]
    assert len(export["notifications"]["notifications"]) == 1


async def test_a_resumed_feed_begins_where_it_was_left(customer, product):
    async with customer.client.feed(customer.token, last_event_id=0) as feed:
        await customer.order(product.id)
        async with asyncio.timeout(15):
            first = await anext(feed)
    missed = await customer.order(product.id)
    async with customer.client.feed(customer.token, last_event_id=first.event_id) as feed:
        async with asyncio.timeout(15):
            second = await anext(feed)
    assert second.event_id == first.event_id + 1
    assert second.data["data"]["order_id"] == str(missed.id)


@pytest.mark.parametrize(
    "path",
    [
        "/healthz/live",
        "/healthz/ready",
        "/metrics",
        "/exports/me",
        "/api/v1/exports/me",
        "/nothing",
    ],
)
async def test_what_is_internal_is_not_reachable_through_the_gateway(system, path):
    async with httpx.AsyncClient(base_url=system.gateway_url, timeout=60) as http:
        answer = await http.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_bad_token_is_refused_with_a_problem(client):
    with pytest.raises(ProblemError) as refused:
        await client.me("not.a.token")
    assert refused.value.status == 401
    assert refused.value.request_id
