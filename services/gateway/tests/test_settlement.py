"""What a process counts by itself, and what two of them admit beyond a limit."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from gateway.counts import Rate, StoreCount, Window
from gateway.limits import LimitMetrics, Limits
from gateway.settlement import PERIOD_SECONDS

WIDTH = 60


class SharedStore:
    """Counts as the script does, within one window, after a round trip."""

    def __init__(self):
        self.counts = {}
        self.calls = 0
        self.error = None

    async def add(self, entries):
        self.calls += 1
        await asyncio.sleep(0.002)
        if self.error is not None:
            raise self.error
        answers = []
        for entry in entries:
            known = self.counts.get(entry.key, 0)
            added = entry.limit < 0 or known + entry.add <= entry.limit
            self.counts[entry.key] = known + entry.add if added else known
            answers.append(StoreCount(added, self.counts[entry.key], 0, 0.0))
        return answers


@pytest.fixture
async def replica():
    made = []

    def opened(store, amount):
        metrics = LimitMetrics(CollectorRegistry(), ["default"])
        limits = Limits(rates={"default": Rate(amount, WIDTH)}, store=store, metrics=metrics)
        made.append(limits)
        return limits

    yield opened
    for limits in made:
        await limits.close()


async def test_two_replicas_exceed_a_limit_by_what_one_admits_between_settlements(replica):
    store = SharedStore()
    replicas = [replica(store, 200), replica(store, 200)]
    admitted, most = 0, 0
    for _ in range(60):
        burst = sum(one.count("default", "ada").allowed for one in replicas for _ in range(5))
        admitted += burst
        most = max(most, burst)
        await asyncio.sleep(0.005)
    assert admitted >= 200
    # 25 ms, the round trip and a late timer, in steps of 5 ms with 5 requests of the other replica.
    assert admitted <= 200 + 10 * 5
    assert not any(one.count("default", "ada").allowed for one in replicas)


async def test_one_call_settles_all_keys_of_a_period(replica):
    store = SharedStore()
    limits = replica(store, 1000)
    for number in range(50):
        limits.count("default", f"user:{number}")
    await asyncio.sleep(2 * PERIOD_SECONDS)
    assert store.calls == 1
    assert len(store.counts) == 50


async def test_an_exact_count_is_refused_by_the_store_and_not_added(replica):
    store = SharedStore()
    first, second = replica(store, 2), replica(store, 2)
    verdicts = [await one.hit("default", "ada") for one in (first, second, first, second)]
    assert [verdict.allowed for verdict in verdicts] == [True, True, False, False]
    assert set(store.counts.values()) == {2}


async def test_without_the_store_a_process_counts_what_it_admitted_itself(replica):
    store = SharedStore()
    limits = replica(store, 5)
    assert (await limits.hit("default", "ada")).allowed
    store.error = OSError("gone")
    assert [limits.count("default", "ada").allowed for _ in range(4)] == [True] * 4
    await asyncio.sleep(2 * PERIOD_SECONDS)
    assert [limits.count("default", "ada").allowed for _ in range(3)] == [True, False, False]


def test_each_counted_verdict_names_policy_and_rest():
    window = Window(began=0.0, current=3, previous=10)
    assert window.used(30.0, WIDTH) == 8
    window.shift(61.0, WIDTH)
    assert (window.current, window.previous, window.began) == (0, 3, 60.0)
    window.shift(300.0, WIDTH)
    assert (window.current, window.previous) == (0, 0)


async def test_the_fields_tell_what_is_left(replica):
    verdict = replica(SharedStore(), 5).count("default", "ada")
    assert dict(verdict.fields) == {
        b"ratelimit-policy": b'"default";q=5;w=60',
        b"ratelimit": b'"default";r=4;t=60',
    }
