"""The mixed load, for a few seconds: every step of a customer works, and every push is seen."""

import asyncio
from pathlib import Path

import pytest

from bench.mixed.driving import LOCUST, Load, drive
from bench.mixed.results import HASHING, PUSHES
from bench.mixed.verdict import errors, restarts

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
async def locust():
    """Install locust in the environment that `make load` uses."""
    target = LOCUST.parents[1] / ".synced"
    process = await asyncio.create_subprocess_exec("make", "--silent", str(target), cwd=ROOT)
    assert await process.wait() == 0


@pytest.mark.slow
@pytest.mark.usefixtures("locust")
async def test_customers_and_the_warehouse_do_everything_without_an_error(system, monkeypatch):
    monkeypatch.chdir(ROOT)
    driven = await drive(Load(customers=4, pace=4, seconds=20, warm_up=4), system)
    result = driven.result
    assert result.errors == {}
    assert not [*errors(result), *restarts(driven.usages.values())]
    classes = {one.name: one for one in result.classes}
    assert {"place order", "search", "list orders", "feed", "feed (SSE)"} <= classes.keys()
    assert classes.keys() >= HASHING | PUSHES
    assert sum(classes[one].sent for one in PUSHES) == classes["place order"].sent
    assert {"gateway", "orders", "orders-worker", "valkey", "locust"} <= driven.usages.keys()
