"""While the signing key of a running system rotates, no token is refused."""

import asyncio
import base64
import json
import sys
import uuid

import httpx
import pytest

from testkit.waiting import until

from .conftest import PASSWORD

# One path of each service. The gateway checks the token before it forwards to any of them.
EVERYWHERE = ("/users/me", "/orders", "/notifications")
GOOD = dict.fromkeys(EVERYWHERE, 200)


@pytest.fixture
async def http(system):
    async with httpx.AsyncClient(base_url=f"{system.gateway_url}/api/v1", timeout=60) as client:
        yield client


def kid_of(token):
    head = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]


async def answers(http, token):
    headers = {"Authorization": f"Bearer {token}"}
    return {path: (await http.get(path, headers=headers)).status_code for path in EVERYWHERE}


async def keys(command, state):
    files = {"private": state.keys / "signing.jwks.json", "public": state.keys / "public.jwks.json"}
    arguments = [f"--{name}={file}" for name, file in files.items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipway", "keys", command, *arguments)
    )
    assert await process.wait() == 0


class Holder:
    """A client that uses its newest access token everywhere, and refreshes all the time."""

    def __init__(self, http, tokens):
        self.token = tokens.access_token
        self._http = http
        self._refresh_token = tokens.refresh_token
        self._stopped = False

    async def run(self):
        while not self._stopped:
            assert await answers(self._http, self.token) == GOOD
            form = {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
            fresh = await self._http.post("/auth/token", data=form)
            assert fresh.status_code == 200, fresh.text
            self.token = fresh.json()["access_token"]
            self._refresh_token = fresh.json()["refresh_token"]

    def stop(self):
        self._stopped = True


async def published(system, http):
    jwks = await http.get(f"{system.gateway_url}/.well-known/jwks.json")
    return [key["kid"] for key in jwks.json()["keys"]]


async def is_alone(system, http, kid):
    return await published(system, http) == [kid]


async def refused_everywhere(http, token):
    return set((await answers(http, token)).values()) == {401}


async def test_no_token_is_refused_while_a_key_is_published_signs_and_replaces_the_old_one(
    system, http, client
):
    email = f"{uuid.uuid4().hex}@example.com"
    await client.register(email=email, password=PASSWORD, full_name="Ada Lovelace")
    token = (await client.login(email=email, password=PASSWORD)).access_token
    old = kid_of(token)
    assert await answers(http, token) == GOOD
    holder = Holder(http, await client.login(email=email, password=PASSWORD))
    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        tasks.create_task(holder.run())
        await keys("rotate", system.state)
        await until(lambda: kid_of(holder.token) != old)
        new = kid_of(holder.token)
        assert await answers(http, token) == GOOD
        assert await published(system, http) == [new, old]

        # No token of the old key is left but `token`, which shows that the key is retired.
        await keys("retire", system.state)
        await until(lambda: refused_everywhere(http, token))
        await until(lambda: is_alone(system, http, new))
        holder.stop()
    assert kid_of(holder.token) == new
