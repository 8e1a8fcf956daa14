"""A session that ends: its access token is refused by the gateway, without any look-up."""

import asyncio
import time
import uuid

import httpx
import pytest

from .conftest import PASSWORD


@pytest.fixture
async def http(system):
    async with httpx.AsyncClient(base_url=f"{system.gateway_url}/api/v1") as client:
        yield client


async def refresh(http, token):
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return await http.post("/auth/token", data=form)


async def refused_after(http, headers):
    """Wait until a token is refused; answers how long that took."""
    began = time.monotonic()
    async with asyncio.timeout(10):
        while True:  # another process comes to it, and nothing tells
            if (await http.get("/orders", headers=headers)).status_code != 200:
                return time.monotonic() - began
            await asyncio.sleep(0.01)


async def test_a_revoked_session_is_refused_by_the_gateway_within_a_second(http, client):
    email = f"{uuid.uuid4().hex}@example.com"
    await client.register(email=email, password=PASSWORD, full_name="Ada Lovelace")
    tokens, other = [await client.login(email=email, password=PASSWORD) for _ in range(2)]
    headers = {"Authorization": f"Bearer {tokens.access_token}"}
    assert (await http.get("/orders", headers=headers)).status_code == 200
    assert (await refresh(http, tokens.refresh_token)).status_code == 200
    # It was used: the second time it is a thief's, and ends the session.
    assert (await refresh(http, tokens.refresh_token)).status_code == 400
    assert await refused_after(http, headers) < 1
    headers = {"Authorization": f"Bearer {other.access_token}"}
    assert (await http.get("/orders", headers=headers)).status_code == 200
