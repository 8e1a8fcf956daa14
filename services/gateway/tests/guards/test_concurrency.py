"""The limit of concurrent requests: up by one, down by a tenth."""

from collections import deque

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


def answered(limit, second, responses, *, slow=False):
    """Let `responses` requests end within one second."""
    for number in range(responses):
        assert limit.enter()
        limit.leave(second + number / responses, slow=slow, responded=True)


def test_it_never_falls_below_the_responses_of_the_best_recent_second():
    limit = ConcurrencyLimit(floor=10, ceiling=1000)
    answered(limit, 0, 60)
    answered(limit, 1, 40)
    for tenth in range(80):
        limit.enter()
        limit.leave(2 + tenth / 10, slow=True)
    assert limit.limit == 60
    limit.enter()
    limit.leave(11.5, slow=True)  # the second with 60 was eleven seconds ago
    assert limit.limit == 54
    for tenth in range(80):
        limit.enter()
        limit.leave(12 + tenth / 10, slow=True)
    assert limit.limit == 10


@pytest.mark.parametrize("slow", [True, None, False])
def test_only_responses_count_as_served(slow):
    limit = ConcurrencyLimit(floor=10, ceiling=1000)
    for number in range(100):
        limit.enter()
        limit.leave(number / 100, slow=slow)
    for tenth in range(80):
        limit.enter()
        limit.leave(1 + tenth / 10, slow=True)
    assert limit.limit == 10


def test_a_best_second_above_the_limit_raises_nothing():
    limit = ConcurrencyLimit(floor=10, ceiling=20)
    answered(limit, 0, 500)
    limit.enter()
    limit.leave(1.5, slow=True)
    assert limit.limit == 20


def queued(limit, *, until, arrivals, served):
    """Send requests at a steady rate to a service that serves one after the other.

    Args:
        limit: the limit.
        until: seconds.
        arrivals: requests of a second.
        served: responses of a second, by the second.

    Returns:
        How many were shed.
    """
    queue: deque[float] = deque()
    shed, ready = 0, 0.0
    for millisecond in range(until * 1000):
        now = millisecond / 1000
        if millisecond % (1000 // arrivals) == 0:
            if limit.enter():
                queue.append(now)
            else:
                shed += 1
        ready += served(now) / 1000
        if not queue:
            ready = min(ready, 1.0)
        while queue and ready >= 1:
            ready -= 1
            limit.leave(now, slow=now - queue.popleft() > 1, responded=True)
    return shed


def test_a_stall_lowers_it_no_further_than_to_what_is_served_in_a_second():
    """After 3 s without a response 150 requests wait, and the service is a little faster than new
    ones come. With a limit that fell to 10, new ones were shed until hardly one was in flight."""
    limit = ConcurrencyLimit(floor=10, ceiling=1000)
    shed = queued(limit, until=40, arrivals=50, served=lambda now: 0 if 10 <= now < 13 else 60)
    assert limit.limit >= 50
    assert shed <= 60


def test_of_a_lasting_overload_it_sheds_what_is_too_much():
    limit = ConcurrencyLimit(floor=10, ceiling=1000)
    shed = queued(limit, until=60, arrivals=50, served=lambda _: 25)
    assert 1300 <= shed <= 1500
    assert limit.limit <= 60
