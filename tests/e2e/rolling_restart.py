"""A rolling restart of every service and of the gateway, under load: not one request fails.

It takes minutes, so it is not part of `make test`: run `make rolling-restart`.
"""

import asyncio
import os
import signal
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import httpx
import pytest

from localservers.ports import free_port
from slipway.local.program import Program
from slipway.services import SERVICES

from .balancing import Balancer, balancing
from .callers import account, product_for_all
from .conftest import ADDRESS

CALLERS = 4
API = "/api/v1"


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One of two processes behind a balancer."""

    program: Program
    balancer: Balancer

    @property
    def port(self):
        return urlsplit(self.program.spec.address).port

    async def restart(self):
        """Do what Kubernetes does: no new connections, SIGTERM, a new process, then connections."""
        pid = self.program.pid
        assert pid is not None, f"{self.program.name} does not run"
        self.balancer.take_out(self.port)
        os.kill(pid, signal.SIGTERM)
        async with asyncio.timeout(30):
            status = await self.program.wait()
        assert status == 0, f"{self.program.name} did not stop in order"
        await self.program.start()
        self.balancer.put_in(self.port)


class Load:
    """Callers that send requests without a pause, and count what becomes of them."""

    def __init__(self, url, token, product):
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._order = {
            "items": [{"product_id": product, "quantity": 1}],
            "shipping_address": ADDRESS.model_dump(mode="json", exclude_none=True),
        }
        self.stopping = False
        self.outcomes: Counter[tuple[str, str, str | None]] = Counter()
        self.placed = set()

    async def call(self):
        async with httpx.AsyncClient(
            base_url=self._url, headers=self._headers, timeout=30, trust_env=False
        ) as http:
            while not self.stopping:
                for path in ("/products", "/users/me", "/orders", "/notifications/unread-count"):
                    await self._ask(http, "GET", path)
                answer = await self._ask(
                    http,
                    "POST",
                    "/orders",
                    json=self._order,
                    headers={"Idempotency-Key": uuid.uuid4().hex},
                )
                if answer is not None and answer.status_code == 201:
                    self.placed.add(answer.json()["id"])

    async def _ask(self, http, method, path, **given):
        try:
            answer = await http.request(method, f"{API}{path}", **given)
        except httpx.TransportError as error:
            self.outcomes[method, path, repr(error)] += 1
            return None
        problem = None if answer.is_success else answer.json()["type"]
        self.outcomes[method, path, problem] += 1
        return answer


@pytest.fixture
async def replicas(system):
    """Two processes of each service and of the gateway, and the address of the gateways."""
    async with AsyncExitStack() as stack:
        state = system.state
        found: list[Replica] = []

        async def second(name, **environment):
            spec = system.process(name).spec
            port, internal = free_port(), free_port()
            given = {"PORT": str(port), "INTERNAL_PORT": str(internal), **environment}
            program = Program(
                replace(
                    spec,
                    name=f"{name}-{port}",
                    environment={**spec.environment, **given},
                    address=f"http://127.0.0.1:{port}",
                    ready_url=f"http://127.0.0.1:{internal}/healthz/ready",
                ),
                state=state,
                say=print,
            )
            stack.push_async_callback(program.stop)
            await program.start()
            return program

        async def pair(name, **environment):
            programs = [await second(name, **environment) for _ in range(2)]
            ports = [urlsplit(program.spec.address).port for program in programs]
            url, balancer = await stack.enter_async_context(balancing(ports))
            found.extend(Replica(program=one, balancer=balancer) for one in programs)
            return url

        urls = {f"{name.upper()}_URL": await pair(name) for name in SERVICES}
        url = await pair("gateway", **urls)
        yield url, found


async def test_a_rolling_restart_under_load_fails_not_one_request(client, replicas):
    url, processes = replicas
    _, token = await account(client)
    load = Load(url, token, await product_for_all(client))
    callers = [asyncio.create_task(load.call()) for _ in range(CALLERS)]
    requests = 0
    for replica in processes:
        await replica.restart()
        done = load.outcomes.total()
        print(f"{replica.program.name} restarted, {done - requests} requests meanwhile")
        assert done - requests >= CALLERS, "requests went on during this restart"
        requests = done
    load.stopping = True
    await asyncio.gather(*callers)
    failed = {one: count for one, count in load.outcomes.items() if one[2] is not None}
    print(f"{load.outcomes.total()} requests, {len(load.placed)} orders, {len(processes)} restarts")
    assert failed == {}
    assert all(count > 0 for replica in processes for count in replica.balancer.passed.values())
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
        page = await http.get(
            f"{API}/orders?total=true&limit=1", headers={"Authorization": f"Bearer {token}"}
        )
    assert page.json()["total"] == len(load.placed), "no order is lost or doubled"
