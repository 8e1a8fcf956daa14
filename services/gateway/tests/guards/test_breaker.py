"""The state machine of the circuit breaker. Time is a number here."""

import pytest

from gateway.guards.breaker import Breaker, State

CLOSED, HALF_OPEN, OPEN = State.CLOSED, State.HALF_OPEN, State.OPEN


@pytest.fixture
def breaker():
    return Breaker(jitter=lambda longest: longest)  # the longest possible time


def send(breaker, results, *, now=0.0, every=0.0):
    """Send a request for each letter: `.` succeeds, `x` fails, `?` has no result."""
    for result in results:
        epoch = breaker.admit(now)
        assert epoch is not None, f"no request is admitted at {now}"
        breaker.record(now, epoch, failed={".": False, "x": True, "?": None}[result])
        now += every
    return now


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ("x" * 19, CLOSED),
        ("x" * 20, OPEN),
        ("." * 10 + "x" * 10, OPEN),
        ("." * 11 + "x" * 10, CLOSED),
        ("." * 1000 + "x" * 20, CLOSED),
        ("?" * 100 + "x" * 19, CLOSED),
        (".x" * 10, OPEN),
    ],
)
def test_it_opens_when_half_of_at_least_twenty_failed(breaker, results, state):
    send(breaker, results)
    assert breaker.state is state


def test_results_count_for_ten_seconds_at_most(breaker):
    send(breaker, "." * 100, now=0)
    send(breaker, "x" * 19, now=6)
    send(breaker, ".", now=11.5)  # the hundred are gone
    assert breaker.state is CLOSED
    send(breaker, "x", now=12)
    assert breaker.state is OPEN


def test_after_a_pause_nothing_of_before_counts(breaker):
    send(breaker, "x" * 19, now=0)
    send(breaker, "x" * 19, now=1000)
    assert breaker.state is CLOSED


def opened(breaker):
    send(breaker, "x" * 20)
    assert breaker.state is OPEN


def test_while_open_nothing_is_sent_until_the_time_is_over(breaker):
    opened(breaker)
    for now in (0.0, 2.5, 4.999):
        assert breaker.admit(now) is None
        assert breaker.seconds_left(now) == pytest.approx(5 - now)
    assert breaker.admit(5.0) is not None
    assert breaker.state is HALF_OPEN
    assert breaker.seconds_left(5.0) == 0


def test_half_of_the_time_is_random():
    breaker = Breaker(jitter=lambda _: 0.0)
    opened(breaker)
    assert breaker.seconds_left(0) == 2.5
    assert {round(_opened_for(), 6) for _ in range(20)} != {2.5}


def _opened_for():
    breaker = Breaker()
    opened(breaker)
    seconds = breaker.seconds_left(0)
    assert 2.5 <= seconds <= 5
    return seconds


def test_while_half_open_one_request_at_a_time_is_the_probe(breaker):
    opened(breaker)
    probe = breaker.admit(6)
    assert probe is not None
    assert breaker.admit(6) is None
    breaker.record(6, probe, failed=False)
    assert breaker.admit(6) is not None


def test_three_probes_in_a_row_close_it(breaker):
    opened(breaker)
    send(breaker, "..", now=6)
    assert breaker.state is HALF_OPEN
    send(breaker, ".", now=6)
    assert breaker.state is CLOSED
    send(breaker, "x" * 19, now=6)  # it begins without a past
    assert breaker.state is CLOSED


@pytest.mark.parametrize("results", ["x", ".x", "..x"])
def test_a_probe_that_fails_opens_it_for_longer(breaker, results):
    opened(breaker)
    send(breaker, results, now=6)
    assert breaker.state is OPEN
    assert breaker.seconds_left(6) == pytest.approx(10)
    send(breaker, "..", now=16)
    assert breaker.state is HALF_OPEN, "probes before the failure are no longer in a row"


def test_the_time_doubles_up_to_thirty_seconds_and_starts_again_once_closed(breaker):
    opened(breaker)
    now, seen = 0.0, []
    for _ in range(5):
        left = breaker.seconds_left(now)
        seen.append(left)
        now += left
        send(breaker, "x", now=now)
    assert seen == pytest.approx([5, 10, 20, 30, 30])
    now += 30
    send(breaker, "..." + "x" * 20, now=now)
    assert breaker.seconds_left(now) == pytest.approx(5)


def test_a_probe_without_a_result_makes_room_for_the_next(breaker):
    opened(breaker)
    send(breaker, "?", now=6)
    assert breaker.state is HALF_OPEN
    send(breaker, "...", now=6)
    assert breaker.state is CLOSED


@pytest.mark.parametrize("failed", [True, False, None])
def test_a_result_from_before_it_opened_is_no_result_of_a_probe(breaker, failed):
    late = breaker.admit(0)
    opened(breaker)
    breaker.record(1, late, failed=failed)
    probe = breaker.admit(6)
    breaker.record(6, late, failed=failed)
    assert breaker.state is HALF_OPEN
    assert breaker.admit(6) is None, "the late result freed the place of the probe"
    breaker.record(6, probe, failed=False)
    send(breaker, "..", now=6)
    breaker.record(6, late, failed=failed)
    assert breaker.state is CLOSED
