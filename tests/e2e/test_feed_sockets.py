"""Many sockets are open at once through the gateway."""

import asyncio
from contextlib import AsyncExitStack

import httpx

SOCKETS = 120  # more than the gateway's pool has connections for requests


async def test_many_open_feeds_leave_requests_their_connections_and_all_get_the_push(
    system, client, customer, product
):
    async with AsyncExitStack() as stack:
        feeds = [
            await stack.enter_async_context(client.feed(customer.token)) for _ in range(SOCKETS)
        ]
        async with httpx.AsyncClient(
            base_url=system.gateway_url, trust_env=False, timeout=60
        ) as http:
            headers = {"Authorization": f"Bearer {customer.token}"}
            listed = await http.get("/api/v1/notifications", headers=headers)
            assert listed.status_code == 200
        order = await customer.order(product.id)
        async with asyncio.timeout(30):
            for feed in feeds:
                assert (await anext(feed)).data["data"]["order_id"] == str(order.id)
