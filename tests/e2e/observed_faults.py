"""Each fault makes its alert fire, no other cause's alert, and the alert ends with the fault.

A real Prometheus watches a whole system. The rules' windows are divided (``monitoring.scaled``), or
a run would take hours. It takes many minutes and needs Debian's `prometheus`, so it is not part of
`make test`: run `make observe-faults`.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import psutil
import pytest
from aiokafka import AIOKafkaProducer

from client import Address, NewItem, NewOrder, ProblemError, SlipwayClient
from localservers.ports import free_port
from monitoring.objectives import burn_alerts
from monitoring.observing import firing_alerts, prometheus
from monitoring.scaled import scaled_rule_files
from slipway.console import Reporter
from slipway.local.ports import with_free_ports
from slipway.local.system import Plan, System, run_system
from slipway.operate.seed import DEMO_PASSWORD
from slipway.settings import SlipwaySettings
from slipway.state import find_root
from testkit.waiting import until

PASSWORD = "correct horse battery"
ADDRESS = Address(
    name="Ada Lovelace", line1="12 St James Square", city="London", postal_code="SW1Y 4JH",
    country="GB",
)  # fmt: skip
FIRE_SECONDS = 300.0
CLEAR_SECONDS = 420.0
CALLERS = 4
CROWD = 60
PAUSE_SECONDS = 0.3
# What any fault may do as well: budgets burn, and a machine that is too slow for this run is slow.
ANY = frozenset({alert.name for alert in burn_alerts()} | {"EventLoopBlocked"})


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        begin: makes it; it ends with the context.
        fires: the alerts that must fire, all of them, and end.
        also: those that may fire too if it lasts, since they have the same cause.
    """

    begin: Callable[[System], AbstractAsyncContextManager[None]]
    fires: frozenset[str]
    also: frozenset[str] = frozenset()


def running[S](server: S | None) -> S:
    """Return a server that this system started itself."""
    assert server is not None
    return server


def frozen(pid: int | None) -> AbstractAsyncContextManager[None]:
    """Stop a process and its children: it is not gone, and does not respond."""

    @asynccontextmanager
    async def freeze() -> AsyncIterator[None]:
        process = psutil.Process(pid)
        members = [process, *process.children(recursive=True)]
        for one in members:
            one.suspend()
        try:
            yield
        finally:
            for one in members:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.resume()

    return freeze()


@asynccontextmanager
async def poison(system: System) -> AsyncIterator[None]:
    """Publish a message that no consumer can parse; an operator discards it in the end."""
    producer = AIOKafkaProducer(bootstrap_servers=system.settings.brokers)
    await producer.start()
    await producer.send_and_wait("slipway.orders", b"{}", key=b"poison", headers=[])
    await producer.stop()
    yield
    # Under load the log-in may be refused with 503: an operator repeats it too.
    await until(lambda: dead_letters_discarded(system), seconds=CLEAR_SECONDS)


async def dead_letters_discarded(system: System) -> bool:
    """Discard what is dead with the operator's command; return whether that succeeded."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipway", "dead-letters", "discard", "--service", "notifications"),
        *("--state", "dead", "--reason", "a test's poison", "--login", "admin@example.com"),
        env={**os.environ, "SLIPWAY_STATE_DIR": str(system.state.path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate(f"{DEMO_PASSWORD}\n".encode())
    print(f"  {out.decode().splitlines()[-1]}")
    return process.returncode == 0


@asynccontextmanager
async def stuck(system: System) -> AsyncIterator[None]:
    """Hold a lock that each batch of notifications needs."""
    password = system.state.passwords(("postgres",))["postgres"]
    assert system.servers.postgres is not None
    url = system.servers.postgres.url(password=password).rpartition("/")[0] + "/slipway"
    holder = await asyncpg.connect(url)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE notifications.inbox IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await holder.close()


@asynccontextmanager
async def frozen_under_a_crowd(system: System) -> AsyncIterator[None]:
    """Freeze an API while many wait for it: a breaker opens only for a crowd."""

    async def ask(http: httpx.AsyncClient) -> None:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                await http.get(f"/api/v1/products/{uuid4()}")
            await asyncio.sleep(PAUSE_SECONDS)  # else an open breaker's responses make a busy loop

    async with (
        httpx.AsyncClient(base_url=system.gateway_url, timeout=60, trust_env=False) as http,
        frozen(system.process("orders").pid),
    ):
        crowd = [asyncio.create_task(ask(http)) for _ in range(CROWD)]
        try:
            yield
        finally:
            for one in crowd:
                one.cancel()
            await asyncio.wait(crowd)


@asynccontextmanager
async def killed(system: System) -> AsyncIterator[None]:
    """Kill a worker three times, each time once it is ready again."""
    process = system.process("orders-worker")
    for _ in range(3):
        before = process.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until(lambda: process.pid not in {None, before}, seconds=60)  # noqa: B023 - awaited here
        await until(lambda: is_ready(str(process.spec.ready_url)), seconds=120)
    yield


async def is_ready(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(url)).is_success
    return False


WAITING = frozenset({"PartitionWaits", "ConsumerWithoutProgress", "ConsumerLags", "JobsLate"})
UNMEASURED = frozenset({"OutboxNotMeasured", "JobsNotMeasured", "ConsumerNotMeasured"})
REFUSING = frozenset(
    {"BreakerOpen", "UpstreamUnreachable", "RequestsShed", "BulkheadFull", "PasswordsRefused"}
)
FAULTS = {
    "kafka-lost": Fault(
        begin=lambda system: frozen(running(system.servers.kafka).pid),
        fires=frozenset({"EventsNotPublished", "EndedSessionsStale"}),
        also=WAITING | UNMEASURED | {"ConsumerRebuilt", "ProcessDown"},
    ),
    "postgres-away": Fault(
        begin=lambda system: frozen(running(system.servers.postgres).pid),
        fires=frozenset({"DatabaseUnreachable"}),
        also=WAITING
        | UNMEASURED
        | REFUSING
        | {"DatabasePoolExhausted", "ApiKeysNotExchanged", "JobLeasesExpire", "EventsNotPublished"},
    ),
    "valkey-away": Fault(
        begin=lambda system: frozen(system.servers.valkey.pid),
        fires=frozenset({"RateLimitsLocal"}),
    ),
    "poison-message": Fault(begin=poison, fires=frozenset({"MessageDead"})),
    "stuck-consumer": Fault(
        begin=stuck,
        fires=frozenset({"ConsumerWithoutProgress"}),
        also=WAITING | {"DatabasePoolExhausted", "PartitionFailing", "ConsumerRebuilt"},
    ),
    "frozen-api": Fault(
        begin=frozen_under_a_crowd,
        fires=frozenset({"ProcessDown", "BreakerOpen"}),
        also=REFUSING,
    ),
    "frozen-worker": Fault(
        begin=lambda system: frozen(system.process("orders-worker").pid),
        fires=frozenset({"ProcessDown"}),
        also=WAITING | {"JobLeasesExpire", "EventsNotPublished"},
    ),
    "killed-worker": Fault(
        begin=killed,
        fires=frozenset({"ProcessRestarts"}),
        also=frozenset({"ProcessDown", "EndedSessionsStale"}),
    ),
}


@pytest.fixture(scope="module")
async def whole(tmp_path_factory) -> AsyncIterator[System]:
    """A system with servers of its own, since the faults stop them, and with its limits on."""
    settings = SlipwaySettings(
        slipway_state_dir=tmp_path_factory.mktemp("system"), slipway_limits="on"
    )
    plan = Plan(
        settings=with_free_ports(settings),
        root=find_root(Path.cwd()),
        env_file=os.devnull,
    )
    async with run_system(plan, reporter=Reporter.silent()) as system:
        yield system


@pytest.fixture(scope="module")
async def account(whole) -> tuple[str, UUID]:
    email = f"{uuid4().hex}@example.com"
    async with SlipwayClient(whole.gateway_url) as client:
        await client.register(email=email, password=PASSWORD, full_name="Ada Lovelace")
        product = (await client.list_products(limit=1)).items[0]
    return email, product.id


@pytest.fixture
async def load(whole, account) -> AsyncIterator[None]:
    """Customers who read and order, and go on whatever the system responds."""
    email, product = account
    order = NewOrder(items=[NewItem(product_id=product, quantity=1)], shipping_address=ADDRESS)

    async def call() -> None:
        async with SlipwayClient(whole.gateway_url, timeout=10) as client:
            token = None
            while True:
                try:
                    if token is None:
                        token = (await client.login(email=email, password=PASSWORD)).access_token
                    await client.list_orders(token)
                    await client.place_order(token, order, idempotency_key=uuid4().hex)
                    await client.list_notifications(token)
                except ProblemError as refused:
                    token = None if refused.status == 401 else token
                except httpx.HTTPError:
                    pass  # a fault may cut connections: the next round tries again
                await asyncio.sleep(PAUSE_SECONDS)  # the pace of the load

    callers = [asyncio.create_task(call()) for _ in range(CALLERS)]
    yield
    for caller in callers:
        caller.cancel()
    for ended in await asyncio.gather(*callers, return_exceptions=True):
        assert isinstance(ended, asyncio.CancelledError), ended


@pytest.fixture
async def watching(whole, tmp_path) -> AsyncIterator[str]:
    """A Prometheus with the scaled rules, and nothing of the fault before."""
    for name, text in scaled_rule_files().items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    record = whole.state.read()
    async with prometheus(record.processes, rules=tmp_path, port=free_port()) as url:
        yield url


class Seen:
    """The alerts that fired since this was made, and those that fire now."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.ever: set[str] = set()
        self.now: set[str] = set()

    async def look(self) -> None:
        """Ask Prometheus which alerts fire."""
        self.now = {alert["alertname"] for alert in await firing_alerts(self._url)} - ANY
        for name in self.now - self.ever:
            print(f"  {name} fires")
        self.ever |= self.now

    async def all_fire(self, names: frozenset[str]) -> bool:
        await self.look()
        return names <= self.ever

    async def none_fires(self) -> bool:
        await self.look()
        return not self.now


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_makes_its_alerts_fire_and_they_end_with_it(whole, watching, name):
    fault, seen = FAULTS[name], Seen(watching)
    print(f"\n{name}: wants {sorted(fault.fires)}")
    await until(lambda: is_scraped(watching), seconds=120)
    assert await seen.none_fires(), f"in health: {seen.now}"
    async with fault.begin(whole):
        await until(lambda: seen.all_fire(fault.fires), seconds=FIRE_SECONDS)
    await until(seen.none_fires, seconds=CLEAR_SECONDS)
    print(f"  all ended; fired: {json.dumps(sorted(seen.ever))}")
    assert seen.ever >= fault.fires
    assert seen.ever <= fault.fires | fault.also, "an alert without its cause"


async def is_scraped(url: str) -> bool:
    """Return whether every process was scraped, and served requests, for two windows of rates."""
    query = "min(count_over_time(up[30s])) >= 10 and min(up) == 1"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        answer = await http.get("/api/v1/query", params={"query": query})
    return bool(answer.json()["data"]["result"])
