"""The limit of concurrent requests: up by one, down by a tenth."""

import pytest

from gateway.guards.concurrency import ConcurrencyLimit


def filled(limit, places):
    for _ in range(places):
        assert limit.enter()


def test_beyond_the_limit_there_is_no_place_until_one_is_given_up():
    limit = ConcurrencyLimit(floor=1, ceiling=3)
    filled(limit, 3)
    assert not limit.enter()
    limit.leave(0, slow=False)
    assert limit.enter()
    assert not limit.enter()


def test_slow_responses_lower_it_by_a_tenth_at_most_every_100_ms():
    limit = ConcurrencyLimit(floor=10, ceiling=100)
    filled(limit, 100)
    for now, expected in ((0.0, 90), (0.05, 90), (0.1, 81), (0.15, 81), (0.3, 72)):
        limit.leave(now, slow=True)
        assert limit.limit == expected


def test_it_never_falls_below_its_floor():
    limit = ConcurrencyLimit(floor=10, ceiling=100)
    for second in range(100):
        assert limit.enter()
        limit.leave(second, slow=True)
    assert limit.limit == 10
    filled(limit, 10)


def test_fast_responses_raise_it_one_by_one_to_its_ceiling_while_it_is_used():
    limit = ConcurrencyLimit(floor=10, ceiling=20)
    for second in range(10):
        limit.enter()
        limit.leave(second, slow=True)
    assert limit.limit == 10
    filled(limit, 5)
    for expected in (11, 11):  # half of 10 is in use, then less than half of 11
        limit.leave(20, slow=False)
        assert limit.limit == expected
    for _ in range(50):
        while limit.enter():
            pass
        limit.leave(30, slow=False)
    assert limit.limit == 20


@pytest.mark.parametrize("slow", [None, False])
def test_an_unknown_result_or_an_idle_service_teaches_nothing(slow):
    limit = ConcurrencyLimit(floor=1, ceiling=100)
    limit.enter()
    limit.leave(0, slow=True)
    limit.enter()
    limit.leave(1, slow=slow)
    assert limit.limit == 90
    assert limit.in_flight == 0


def test_a_floor_above_the_ceiling_is_the_ceiling():
    limit = ConcurrencyLimit(floor=10, ceiling=2)
    limit.enter()
    limit.leave(0, slow=True)
    assert limit.limit == 2


def test_it_settles_near_what_a_service_with_few_workers_can_take():
    """A queue in front of 40 workers of 0.1 s each: 400 in flight would take 1 s."""
    limit = ConcurrencyLimit(floor=10, ceiling=1000)
    now, seen = 0.0, []
    for _ in range(600):  # rounds in which a crowd sends as much as it may
        while limit.enter():
            pass
        seconds = limit.in_flight / 40 * 0.1
        now += seconds
        while limit.in_flight:
            limit.leave(now, slow=seconds > 1)
        seen.append(limit.limit)
    assert min(seen[-100:]) >= 300
    assert max(seen[-100:]) <= 700
