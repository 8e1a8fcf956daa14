"""An API key works at all services through the gateway, until it is revoked."""

import asyncio
import time
import uuid

import httpx
import pytest

from client import ProblemError

from .conftest import PASSWORD, Customer
from .test_mail import verify_address


async def refused_after(http, key):
    """Wait until a key is refused. Return the seconds that this took, and the status."""
    began = time.monotonic()
    async with asyncio.timeout(10):
        while True:  # the event arrives in another process, so there is nothing to await
            headers = {"Authorization": f"Bearer {key}"}
            status = (await http.get("/api/v1/orders", headers=headers)).status_code
            if status != 200:
                return time.monotonic() - began, status
            await asyncio.sleep(0.01)


@pytest.fixture
async def customer(system, client):
    """A customer with a verified address: others can't have API keys."""
    email = f"{uuid.uuid4().hex}@example.com"
    await client.register(email=email, password=PASSWORD, full_name="Ada Lovelace")
    await verify_address(system, client, email)
    tokens = await client.login(email=email, password=PASSWORD)
    return Customer(token=tokens.access_token, client=client)


async def test_a_key_places_orders_and_is_refused_within_a_second_once_revoked(
    system, client, customer, product
):
    created = await client.create_api_key(
        customer.token, name="Shop", scopes=["orders:read", "orders:write"]
    )
    integration = type(customer)(token=created.api_key, client=client)
    order = await integration.order(product.id)
    page = await client.list_orders(created.api_key)
    assert [one.id for one in page.items] == [order.id]
    with pytest.raises(ProblemError) as narrow:
        await client.list_notifications(created.api_key)
    assert narrow.value.status == 403
    history = await client.order_history(customer.token, order.id)
    assert history[0].actor.kind == "api_key"
    (listed,) = (await client.list_api_keys(customer.token)).items
    assert listed.last_used_at is not None

    await client.revoke_api_key(customer.token, created.id)
    async with httpx.AsyncClient(base_url=system.gateway_url, timeout=60) as http:
        seconds, status = await refused_after(http, created.api_key)
        outside = await http.post("/api-key-exchanges", json={"api_key": created.api_key})
    assert status == 401
    assert seconds < 1
    assert outside.status_code == 404
    assert (await client.list_orders(customer.token)).items
