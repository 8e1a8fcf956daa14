"""When a log-in session ends, the gateway refuses its access token without a look-up."""

import asyncio
import time
import uuid

import httpx
import pytest

from .conftest import PASSWORD


@pytest.fixture
async def http(system):
    async with httpx.AsyncClient(base_url=f"{system.gateway_url}/api/v1", timeout=60) as client:
        yield client


async def refresh(http, token):
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return await http.post("/auth/token", data=form)


async def refused_after(http, headers):
    """Wait until a token is refused. Return the seconds that this took."""
    began = time.monotonic()
    async with asyncio.timeout(10):
        while True:  # the event arrives in another process, so there is nothing to await
            if (await http.get("/orders", headers=headers)).status_code != 200:
                return time.monotonic() - began
            await asyncio.sleep(0.01)


async def test_a_revoked_session_is_refused_by_the_gateway_within_a_second(http, client):
    email = f"{uuid.uuid4().hex}@example.com"
    await client.register(email=email, password=PASSWORD, full_name="Ada Lovelace")
    tokens, other = [await client.login(email=email, password=PASSWORD) for _ in range(2)]
    headers = {"Authorization": f"Bearer {tokens.access_token}"}
    assert (await http.get("/orders", headers=headers)).status_code == 200
    second = await refresh(http, tokens.refresh_token)
    assert (await refresh(http, second.json()["refresh_token"])).status_code == 200
    # The successor was used, so this older token counts as stolen, and the session ends.
    assert (await refresh(http, tokens.refresh_token)).status_code == 400
    assert await refused_after(http, headers) < 1
    headers = {"Authorization": f"Bearer {other.access_token}"}
    assert (await http.get("/orders", headers=headers)).status_code == 200


async def by_list(http, *, own, lost):
    """End a session from the list, as a user does who has lost a device."""
    assert lost
    headers = {"Authorization": f"Bearer {own.access_token}"}
    items = (await http.get("/auth/sessions", headers=headers)).json()["items"]
    (sid,) = [item["id"] for item in items if not item["current"]]
    return await http.delete(f"/auth/sessions/{sid}", headers=headers)


async def all_at_once(http, *, own, lost):
    assert lost
    headers = {"Authorization": f"Bearer {own.access_token}"}
    return await http.delete("/auth/sessions", headers=headers)


async def by_access_token(http, *, own, lost):
    assert own
    return await http.post("/auth/revoke", data={"token": lost.access_token})


async def by_refresh_token(http, *, own, lost):
    assert own
    return await http.post("/auth/revoke", data={"token": lost.refresh_token})


@pytest.mark.parametrize("end", [by_list, all_at_once, by_access_token, by_refresh_token])
async def test_a_session_that_its_user_ends_is_refused_by_the_gateway_within_a_second(
    http, client, end
):
    email = f"{uuid.uuid4().hex}@example.com"
    await client.register(email=email, password=PASSWORD, full_name="Ada Lovelace")
    lost, own = [await client.login(email=email, password=PASSWORD) for _ in range(2)]
    assert (await end(http, own=own, lost=lost)).is_success
    headers = {"Authorization": f"Bearer {lost.access_token}"}
    assert await refused_after(http, headers) < 1
    assert (await refresh(http, lost.refresh_token)).status_code == 400


async def test_a_page_keeps_its_refresh_token_in_a_cookie_through_the_gateway(http, client, system):
    email = f"{uuid.uuid4().hex}@example.com"
    await client.register(email=email, password=PASSWORD, full_name="Ada Lovelace")
    page = {"Origin": system.gateway_url, "Sec-Fetch-Site": "same-origin"}
    body = {"email": email, "password": PASSWORD, "browser": True}
    answer = await http.post("/auth/login", json=body, headers=page)
    name, _, kept = answer.headers["set-cookie"].split(";")[0].partition("=")
    form = {"grant_type": "refresh_token"}
    fields = {"Cookie": f"{name}={kept}"}
    assert (await http.post("/auth/token", data=form, headers=fields)).status_code == 400
    fresh = await http.post("/auth/token", data=form, headers=fields | page)
    assert fresh.status_code == 200
    assert kept not in fresh.headers["set-cookie"]
    assert "refresh_token" not in fresh.json()
