"""What a process counts by itself, and what two of them admit beyond a limit."""

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry
from valkey.exceptions import ValkeyError

from gateway.counts import Rate, StoreCount, Window
from gateway.limits import LimitMetrics, Limits
from gateway.settlement import PERIOD_SECONDS
from testkit.waiting import until

WIDTH = 60
SITE = "address:2001:db8::/64"


class SharedStore:
    """Counts as the script does, within one window, after a round trip."""

    def __init__(self):
        self.counts = {}
        self.calls = 0
        self.asked = asyncio.Event()
        self.error = None

    async def add(self, entries):
        self.calls += 1
        self.asked.set()
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

    def opened(store, amount, clock=time.monotonic):
        metrics = LimitMetrics(CollectorRegistry(), ["default"])
        rates = {"default": Rate(amount, WIDTH)}
        limits = Limits(rates=rates, store=store, metrics=metrics, clock=clock)
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
        burst = sum(one.count("default", SITE).allowed for one in replicas for _ in range(5))
        admitted += burst
        most = max(most, burst)
        await asyncio.sleep(0.005)
    assert admitted >= 200
    # 25 ms, the round trip and a late timer, in steps of 5 ms with 5 requests of the other replica.
    assert admitted <= 200 + 10 * 5
    assert not any(one.count("default", SITE).allowed for one in replicas)


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


@pytest.mark.parametrize("error", [OSError("gone"), ValkeyError("busy"), ValueError("no count")])
async def test_a_call_that_fails_is_not_the_last_one(replica, error):
    store = SharedStore()
    limits = replica(store, 10)
    store.error = error
    limits.count("default", "ada")
    await settled(limits)
    store.error = None
    limits.count("default", "ada")
    await settled(limits)
    assert (store.calls, set(store.counts.values())) == (2, {1})


class Clock:
    """A clock that stands until it is set."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


async def test_who_waits_as_long_as_told_may_pass_and_not_a_second_earlier(replica, clock):
    limits = replica(SharedStore(), 10, clock)
    assert all(limits.count("default", "ada").allowed for _ in range(10))
    refused = limits.count("default", "ada")
    assert (refused.allowed, refused.retry_after) == (False, 60)
    clock.now += 61.5  # nine tenths of the window before count still, and this one
    assert [limits.count("default", "ada").allowed for _ in range(2)] == [True, False]
    wait = limits.count("default", "ada").retry_after
    assert wait == 5
    clock.now += wait - 1
    assert not limits.count("default", "ada").allowed
    clock.now += 1.01
    assert limits.count("default", "ada").allowed


async def test_nobody_is_told_to_wait_for_nothing(replica, clock):
    limits = replica(SharedStore(), 1, clock)
    limits.count("default", "ada")
    clock.now += WIDTH  # the whole window before counts still, for a moment
    refused = limits.count("default", "ada")
    assert (refused.allowed, refused.retry_after) == (False, 1)
    clock.now += 1
    assert limits.count("default", "ada").allowed


class Knowing:
    """A store that knows one count."""

    def __init__(self, count):
        self._count = count

    async def add(self, _entries):
        return [self._count]


async def test_an_exact_count_knows_both_windows_of_the_store_and_its_clock(replica, clock):
    store = Knowing(StoreCount(added=True, current=3, previous=10, age=30.0))
    verdict = await replica(store, 20, clock).hit("default", "ada")
    assert dict(verdict.fields)[b"ratelimit"] == b'"default";r=12;t=30'


async def test_an_exact_count_that_the_store_refused_for_the_window_before_is_refused(
    replica, clock
):
    store = Knowing(StoreCount(added=False, current=1, previous=10, age=0.0))
    verdict = await replica(store, 5, clock).hit("default", "ada")
    assert (verdict.allowed, verdict.retry_after) == (False, 36)


async def settled(limits):
    """Wait until no call to the store runs or is due."""
    settlement = limits._settlement
    await until(lambda: settlement._timer is None and settlement._task is None)


async def test_what_is_counted_while_the_store_is_asked_is_settled_next(replica):
    store = SharedStore()
    limits = replica(store, 10)
    limits.count("default", "ada")
    await store.asked.wait()
    limits.count("default", "ada")
    limits.count("default", "bob")
    await settled(limits)
    assert store.counts == {"slipway:counts:default:ada": 2, "slipway:counts:default:bob": 1}


class Held(SharedStore):
    """A store whose calls end when the test says."""

    def __init__(self):
        super().__init__()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def add(self, entries):
        answers = await super().add(entries)
        await self.go_on.wait()
        return answers


async def test_what_was_counted_alone_holds_up_nothing_once_the_store_is_back(replica):
    store = Held()
    limits = replica(store, 10)
    store.error = OSError("gone")
    limits.count("default", "ada")
    await settled(limits)
    store.error = None
    store.go_on.clear()
    store.asked.clear()
    limits.count("default", "ada")
    await store.asked.wait()
    limits.count("default", "bob")
    store.go_on.set()
    await asyncio.wait([limits._settlement._task])
    limits.count("default", "cid")
    await settled(limits)
    assert store.counts.get("slipway:counts:default:cid") == 1


async def test_one_call_runs_at_a_time_however_slow_it_is(replica):
    store = Held()
    limits = replica(store, 10)
    limits.count("default", "ada")
    await settled(limits)
    store.go_on.clear()
    store.asked.clear()
    limits.count("default", "ada")  # due within the period
    limits.count("default", "bob")  # new, so both are due at once
    await store.asked.wait()
    limits.count("default", "ada")
    await asyncio.sleep(2 * PERIOD_SECONDS)
    assert store.calls == 2
    store.go_on.set()
    await settled(limits)
    assert (store.calls, store.counts["slipway:counts:default:ada"]) == (3, 3)


async def test_a_crowd_of_new_keys_makes_a_call_in_five_milliseconds_at_most(replica):
    store = SharedStore()
    limits = replica(store, 10)
    loop = asyncio.get_running_loop()
    began, number = loop.time(), 0
    while loop.time() < began + 0.1:
        limits.count("default", f"user:{number}")
        number += 1
        await asyncio.sleep(0)
    assert store.calls <= (loop.time() - began) / 0.005 + 1


class Tried(SharedStore):
    """Counts the exact requests that ask it."""

    def __init__(self):
        super().__init__()
        self.hits = 0

    async def add(self, entries):
        self.hits += entries[0].limit >= 0
        return await super().add(entries)


async def test_a_store_that_is_gone_is_asked_by_one_exact_request_in_five_seconds(replica, clock):
    store = Tried()
    store.error = OSError("gone")
    limits = replica(store, 100, clock)

    async def hits(number):
        before = store.hits
        await asyncio.gather(*(limits.hit("default", "ada") for _ in range(number)))
        return store.hits - before

    for _ in range(3):
        await hits(1)
    assert await hits(3) == 0
    clock.now += 4.9
    assert await hits(3) == 0
    clock.now += 0.2
    assert await hits(3) == 1
    assert await hits(3) == 0
    clock.now += 5.1
    store.error = None
    assert await hits(3) == 1
    assert await hits(3) == 3, "it is available again"


async def test_while_all_are_refused_somebody_notices_that_the_store_is_back(replica, clock):
    store = SharedStore()
    store.error = OSError("gone")
    limits = replica(store, 1, clock)
    for _ in range(3):
        await limits.hit("default", "ada")
    assert limits.count("default", "bob").allowed
    await settled(limits)

    async def refused(number):
        before = store.calls
        for _ in range(number):
            assert not limits.count("default", "ada").allowed
            await settled(limits)
        return store.calls - before

    assert await refused(3) == 0
    clock.now += 5.1
    assert await refused(3) == 1
    store.error = None
    clock.now += 5.1
    assert await refused(1) == 1
    for key in ("ada", "bob"):
        assert limits.count("default", key).allowed, "what was counted alone is forgotten"


async def test_windows_are_bounded_and_those_in_use_stay(replica, clock, monkeypatch):
    monkeypatch.setattr("gateway.limits._KEYS", 20)
    limits = replica(SharedStore(), 1, clock)
    for number in range(10):
        limits.count("default", f"old:{number}")
    clock.now += WIDTH
    for number in range(10):
        limits.count("default", f"new:{number}")
    clock.now += WIDTH
    limits.count("default", "one more")
    assert len(limits._windows) == 11
    assert not limits.count("default", "new:9").allowed
    for number in range(60):
        limits.count("default", f"crowd:{number}")
        if number % 5 == 0:
            await settled(limits)
        assert len(limits._windows) <= 20


async def test_a_window_that_was_dropped_is_not_settled(replica, clock, monkeypatch):
    monkeypatch.setattr("gateway.limits._KEYS", 10)
    store = SharedStore()
    store.error = OSError("gone")
    limits = replica(store, 100, clock)
    for _ in range(3):
        await limits.hit("default", "ada")
    await settled(limits)
    limits.count("default", "ada")  # it waits until the store is tried again
    clock.now += 2 * WIDTH
    store.error = None
    for number in range(10):
        limits.count("default", f"crowd:{number}")
    await settled(limits)
    assert set(store.counts) == {f"slipway:counts:default:crowd:{number}" for number in range(10)}


def test_each_counted_verdict_names_policy_and_rest():
    window = Window(began=0.0, current=3, previous=10)
    assert window.used(30.0, WIDTH) == 8
    window.shift(61.0, WIDTH)
    assert (window.current, window.previous, window.began) == (0, 3, 60.0)
    window.current = 4
    window.shift(120.0, WIDTH)
    assert (window.current, window.previous, window.began) == (0, 4, 120.0)
    window.current = 5
    window.shift(300.0, WIDTH)
    assert (window.current, window.previous, window.began) == (0, 0, 300.0)


async def test_the_fields_tell_what_is_left_and_never_more_than_the_window(replica, clock):
    clock.now = 1000.4  # in floating point, 1000.4 + 60 - 1000.4 is more than 60
    limits = replica(SharedStore(), 2, clock)
    verdicts = [limits.count("default", "ada") for _ in range(3)]
    for left, verdict in zip((1, 0, 0), verdicts, strict=True):
        assert dict(verdict.fields) == {
            b"ratelimit-policy": b'"default";q=2;w=60',
            b"ratelimit": b'"default";r=%d;t=60' % left,
        }
    assert [verdict.retry_after for verdict in verdicts] == [0, 0, 60]


async def test_after_a_call_that_a_library_cancelled_the_next_one_settles(replica):
    """The store would otherwise never be called again."""
    store = SharedStore()
    store.error = asyncio.CancelledError()
    limits = replica(store, 200)
    limits.count("default", "ada")
    await until(lambda: store.calls == 1)
    store.error = None

    def settled():
        limits.count("default", "ada")
        return bool(store.counts)

    await until(settled)
