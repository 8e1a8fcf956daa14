"""Operations begin when they are due, whatever happened to earlier ones."""

import asyncio
from itertools import pairwise

from bench.arrivals import arrival_times, each_in_time, percentile


def test_a_rate_is_kept_exactly_and_a_seed_says_when() -> None:
    times = arrival_times(per_second=100, seconds=3, seed=1)
    assert len(times) == 300
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] < 3
    assert times == arrival_times(per_second=100, seconds=3, seed=1)
    assert times != arrival_times(per_second=100, seconds=3, seed=2)


def test_gaps_are_those_of_many_who_know_nothing_of_each_other() -> None:
    times = arrival_times(per_second=100, seconds=100, seed=1)
    gaps = [after - before for before, after in pairwise(times)]
    shorter = sum(gap < 0.01 for gap in gaps) / len(gaps)
    assert 0.61 < shorter < 0.65  # a fraction of 1 - 1/e is below the mean


async def test_nothing_begins_before_its_time_and_what_is_late_says_so() -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    dues = [0.0, 0.02, 0.02, 0.04]
    begun = [(loop.time() - start, late) async for late in each_in_time(dues)]
    for (at, late), due in zip(begun, dues, strict=True):
        assert at >= due
        assert 0 <= late <= at - due + 0.001


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7
    assert percentile([1.0, 2.0, 3.0], 0.99) == 3
