"""Parked messages whose next attempt was set by a clock that was ahead."""

from datetime import timedelta

import pytest

from chassis.messaging import FailurePolicy

from .messages import raised

SLOW = FailurePolicy(attempts=3, first_delay=3600, longest_delay=3600)
MINUTE, YEARS = timedelta(minutes=1), timedelta(days=3650)


async def refuse(_event, _delivery):
    message = "refused"
    raise ValueError(message)


@pytest.mark.parametrize(("ahead", "tried"), [(MINUTE, False), (YEARS, True)])
async def test_an_attempt_that_a_wrong_clock_put_years_ahead_is_made_and_no_other(
    offline, ahead, tried
):
    await offline.runner(refuse, failure=SLOW).run(raised(1))
    await offline.query("UPDATE parked_keys SET next_attempt_at = now() + $1", ahead)
    retries = offline.retries(failure=SLOW)
    await retries.pull_back()
    assert await retries.work_one() is tried
    assert await offline.effects() == ([("a", 1)] if tried else [])
