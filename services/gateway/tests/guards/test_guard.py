"""What a guard sheds, learns and shows."""

import pytest
from prometheus_client import CollectorRegistry

from chassis.errors import Unavailable
from gateway.guards.breaker import Breaker
from gateway.guards.guard import Guard, GuardMetrics, Result, guards_of, result_of
from testkit.logs import own_logs

RESPONSE, FAILED, TIMED_OUT, UNKNOWN = Result


class Guarded:
    """A guard of the service `orders`, with a clock."""

    def __init__(self, *, ceiling=100):
        self.registry = CollectorRegistry()
        self.guard = Guard(
            "orders",
            ceiling=ceiling,
            metrics=GuardMetrics(self.registry),
            breaker=Breaker(jitter=lambda longest: longest),
        )
        self.now = 0.0

    def request(self, result, *, seconds=0.0, slow_is_normal=False):
        permit = self.guard.begin(self.now)
        self.guard.end(permit, self.now, result, seconds=seconds, slow_is_normal=slow_is_normal)

    def metric(self, name, **labels):
        return self.registry.get_sample_value(
            f"gateway_upstream_{name}", {"service": "orders", **labels}
        )


@pytest.fixture
def guarded():
    return Guarded()


@pytest.mark.parametrize(
    ("status", "result"),
    [
        *((status, RESPONSE) for status in (200, 304, 400, 404, 408, 429, 500, 501, 503)),
        (502, FAILED),
        (504, FAILED),
    ],
)
def test_only_502_and_504_of_a_service_are_failures(status, result):
    assert result_of(status) is result


@pytest.mark.parametrize(
    ("result", "state"), [(FAILED, 2), (TIMED_OUT, 2), (RESPONSE, 0), (UNKNOWN, 0)]
)
def test_failures_and_time_outs_open_the_breaker_and_nothing_else(guarded, result, state):
    for _ in range(20):
        guarded.request(result)
    assert guarded.metric("breaker_state") == state


def test_each_move_of_the_breaker_is_an_event(guarded):
    with own_logs() as entries:
        for _ in range(20):
            guarded.request(FAILED)
        guarded.now = 60.0
        for _ in range(3):
            guarded.request(RESPONSE)
    moves = [
        (line["service"], line["state"]) for line in entries if line["event"] == "breaker moved"
    ]
    assert moves == [("orders", "open"), ("orders", "half_open"), ("orders", "closed")]


def test_an_open_breaker_sheds_and_says_when_to_come_back(guarded):
    for _ in range(20):
        guarded.request(FAILED)
    guarded.now = 0.5
    with pytest.raises(Unavailable) as caught:
        guarded.guard.begin(guarded.now)
    assert caught.value.retry_after == 5
    assert guarded.metric("shed_total", reason="breaker") == 1
    assert guarded.metric("in_flight") == 0
    guarded.now = 5.0
    for _ in range(3):
        guarded.request(RESPONSE)
    assert guarded.metric("breaker_state") == 0


def test_what_is_shed_by_the_breaker_puts_nothing_in_the_budget_of_retries(guarded):
    for _ in range(20):
        guarded.request(FAILED)
    while guarded.guard.retry_delay(b"GET", retries=0) is not None:
        pass
    for _ in range(100):
        with pytest.raises(Unavailable):
            guarded.guard.begin(guarded.now)
    assert guarded.guard.retry_delay(b"GET", retries=0) is None
    assert guarded.metric("retries_total") == 10


def test_beyond_the_limit_requests_are_shed():
    guarded = Guarded(ceiling=2)
    for _ in range(2):
        guarded.guard.begin(0)
    assert guarded.metric("in_flight") == 2
    with pytest.raises(Unavailable) as caught:
        guarded.guard.begin(0)
    assert caught.value.retry_after == 1
    assert guarded.metric("shed_total", reason="concurrency") == 1


@pytest.mark.parametrize(
    ("result", "seconds", "slow_is_normal", "limit"),
    [
        (RESPONSE, 0.9, False, 100),
        (RESPONSE, 1.1, False, 90),
        (RESPONSE, 1.1, True, 100),
        (FAILED, 0.1, False, 100),
        (FAILED, 1.1, False, 90),
        (TIMED_OUT, 0.1, True, 90),
        (UNKNOWN, 0.1, False, 100),
        (UNKNOWN, 1.1, False, 90),
    ],
)
def test_what_is_slow_lowers_the_limit(guarded, result, seconds, slow_is_normal, limit):
    guarded.request(result, seconds=seconds, slow_is_normal=slow_is_normal)
    assert guarded.metric("concurrency_limit") == limit


def test_a_client_that_leaves_early_does_not_raise_the_limit():
    guarded = Guarded(ceiling=12)
    guarded.request(TIMED_OUT)
    permits = [guarded.guard.begin(0) for _ in range(10)]
    for permit in permits:
        guarded.guard.end(permit, 0, UNKNOWN, seconds=0.1)
    assert guarded.metric("concurrency_limit") == 10


def test_one_service_that_fails_closes_nothing_for_another():
    guards = guards_of(["orders", "users"], ceiling=10, registry=CollectorRegistry())
    for _ in range(20):
        permit = guards["orders"].begin(0)
        guards["orders"].end(permit, 0, FAILED, seconds=0)
    with pytest.raises(Unavailable):
        guards["orders"].begin(0)
    guards["users"].begin(0)
