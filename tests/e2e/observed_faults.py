"""Each fault makes its alerts fire, no other cause's alert, and they end with the fault.

A real Prometheus watches a whole system. The rules' windows are divided (``monitoring.scaled``), or
a run would take hours. It takes many minutes and needs Debian's `prometheus`, so it is not part of
`make test`: run `make observe-faults`, or some of it with `FAULTS="mail killed-worker"`.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from client import ClientError, NewItem, NewOrder, ProblemError, SlipwayClient
from localservers.ports import free_port
from monitoring.objectives import burn_alerts
from monitoring.observing import firing_alerts, has_data, prometheus
from monitoring.scaled import scaled_rule_files
from slipway.console import Reporter
from slipway.local.ports import with_free_ports
from slipway.local.system import Plan, System, run_system
from slipway.settings import SlipwaySettings
from slipway.state import find_root
from testkit.waiting import until

from . import callers
from .breaking import Stage
from .conftest import ADDRESS, PASSWORD
from .fault_table import CLEAR_SECONDS, FAULTS, FIRE_SECONDS, PAUSE_SECONDS, SETTINGS

CALLERS = 2
# What any fault may do as well: budgets burn, and a machine that is too slow for this run is slow.
ANY = frozenset({alert.name for alert in burn_alerts()} | {"EventLoopBlocked"})
CHOSEN = os.environ.get("FAULTS", "").split() or list(FAULTS)
if unknown := sorted(set(CHOSEN) - set(FAULTS)):  # before a system starts for them
    pytest.exit(f"FAULTS names no fault: {' '.join(unknown)}. Use: {' '.join(FAULTS)}.", 4)
# Every process was scraped, and served requests, for two windows of rates.
SCRAPED = "min(count_over_time(up[30s])) >= 10 and min(up) == 1"


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
        environment=SETTINGS,
    )
    async with run_system(plan, reporter=Reporter.silent()) as system:
        yield system


@pytest.fixture(scope="module")
async def account(whole) -> tuple[str, UUID]:
    """The address of a customer, and a product whose stock no run uses up."""
    async with SlipwayClient(whole.gateway_url) as client:
        email, _ = await callers.account(client)
        return email, UUID(await callers.product_for_all(client))


@pytest.fixture
async def load(whole, account) -> AsyncIterator[None]:
    """Customers who read, order and follow their feed, and go on whatever the system responds."""
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
                except (ClientError, httpx.HTTPError) as error:  # the next round tries again
                    expired = isinstance(error, ProblemError) and error.status == 401
                    token = None if expired else token
                await asyncio.sleep(PAUSE_SECONDS)  # the pace of the load

    async def follow() -> None:
        async with SlipwayClient(whole.gateway_url) as client:
            while True:
                with contextlib.suppress(ClientError, httpx.HTTPError):
                    token = (await client.login(email=email, password=PASSWORD)).access_token
                    async with client.follow(token) as feed:
                        async for _ in feed:
                            pass
                await asyncio.sleep(PAUSE_SECONDS)  # the pace of log-ins

    tasks = [asyncio.create_task(one()) for one in (*[call] * CALLERS, follow)]
    yield
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
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
    """The alerts that fired since this was made, and those that fire now.

    Args:
        url: of Prometheus.
        wanted: alerts that count although any fault may make them fire.
    """

    def __init__(self, url: str, wanted: frozenset[str]) -> None:
        self._url = url
        self._ignored = ANY - wanted
        self._began = time.monotonic()
        self.ever: set[str] = set()
        self.now: set[str] = set()

    async def look(self) -> None:
        """Ask Prometheus which alerts fire."""
        before = self.now
        self.now = {alert["alertname"] for alert in await firing_alerts(self._url)} - self._ignored
        for name in sorted(self.now ^ before):
            self.say(f"{name} {'fires' if name in self.now else 'ends'}")
        self.ever |= self.now

    def say(self, text: str) -> None:
        """Print a line with the seconds so far."""
        print(f"  {time.monotonic() - self._began:4.0f} s  {text}")

    async def all_fire(self, names: frozenset[str]) -> bool:
        await self.look()
        return names <= self.ever

    async def none_fires(self) -> bool:
        await self.look()
        return not self.now


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("name", CHOSEN)
async def test_a_fault_makes_its_alerts_fire_and_they_end_with_it(whole, account, watching, name):
    fault = FAULTS[name]
    print(f"\n{name}: wants {sorted(fault.fires)}")
    seen = Seen(watching, fault.fires)
    await until(lambda: has_data(watching, SCRAPED), seconds=120)
    assert await seen.none_fires(), f"in health: {seen.now}"
    seen.say("begins")
    async with fault.begin(Stage(system=whole, prometheus=watching, product=account[1])):
        await until(lambda: seen.all_fire(fault.fires), seconds=FIRE_SECONDS)
    seen.say("over")
    await until(seen.none_fires, seconds=CLEAR_SECONDS)
    assert seen.ever >= fault.fires
    assert seen.ever <= fault.fires | fault.also, "an alert without its cause"
