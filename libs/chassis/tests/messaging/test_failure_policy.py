"""How long a failed message waits for its next attempt."""

from chassis.messaging import FailurePolicy


def test_delays_grow_exponentially_with_full_jitter_up_to_the_longest():
    policy = FailurePolicy(first_delay=1, longest_delay=60)
    for attempts, longest in ((1, 1), (2, 2), (5, 16), (7, 60), (1000, 60)):
        delays = [policy.delay(attempts) for _ in range(300)]
        assert 0 <= min(delays) < longest * 0.1
        assert longest * 0.9 < max(delays) <= longest
