import pytest

from gateway.guards.retries import RetryBudget


@pytest.fixture
def budget():
    return RetryBudget(jitter=lambda attempts: attempts / 100)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"])
def test_an_idempotent_request_is_sent_again_twice_later_each_time(budget, method):
    assert [budget.delay(method, retries=n) for n in range(3)] == [0.01, 0.02, None]


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"get", b"FOO"])
def test_any_other_request_is_never_sent_again(budget, method):
    assert budget.delay(method, retries=0) is None


def test_retries_are_a_tenth_of_the_requests_once_the_first_ten_are_spent(budget):
    granted = 0
    for _ in range(1000):
        budget.deposit()
        granted += budget.delay(b"GET", retries=0) is not None
    assert granted == pytest.approx(110, abs=2)


def test_quiet_times_save_no_more_than_ten_retries(budget):
    for _ in range(10_000):
        budget.deposit()
    granted = sum(budget.delay(b"GET", retries=0) is not None for _ in range(100))
    assert granted == 10


def test_the_delay_is_random_and_short():
    delays = {RetryBudget().delay(b"GET", retries=1) for _ in range(20)}
    assert len(delays) > 1
    assert all(delay is not None and 0 <= delay <= 0.05 for delay in delays)
