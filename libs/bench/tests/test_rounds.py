"""Sides take turns, in an order that is reversed each round."""

import pytest

from bench.results import Line, middle
from bench.rounds import Pace, Ratio, Sample, ratio, take_turns


def sample(per_second: float, cpu: float | None = None) -> Sample:
    return Sample(operations=int(per_second * 2), seconds=2, cpu=cpu)


async def test_the_order_of_sides_is_reversed_each_time() -> None:
    turns: list[tuple[str, float]] = []
    lines: list[str] = []

    def side(name: str, per_second: float):
        async def run(seconds: float) -> Sample:
            turns.append((name, seconds))
            return sample(per_second)

        return run

    sides = {"b": side("b", 10), "a": side("a", 1234)}
    samples = await take_turns(sides, Pace(sweeps=3, seconds=5, warm_up=1), lines.append)
    assert [name for name, seconds in turns if seconds == 1] == ["b", "a"]
    assert [name for name, seconds in turns if seconds == 5] == ["b", "a", "a", "b", "b", "a"]
    assert [len(taken) for taken in samples.values()] == [3, 3]
    assert lines[-1].strip() == "round 3 of 3: b 10/s, a 1,234/s"


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    ours = [sample(10), sample(20), sample(90)]
    theirs = [sample(100), sample(100), sample(100)]
    assert ratio(ours, theirs) == Ratio(value=0.2, low=0.1, high=0.9)


def test_sides_with_unequal_rounds_are_not_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([sample(1), sample(1)], [sample(1)])


def test_cpu_is_given_for_one_operation_in_microseconds() -> None:
    assert sample(100, cpu=0.5).cpu_each == 2500
    assert sample(100).cpu_each is None
    assert middle([sample(100, cpu=0.5), sample(100)], "cpu_each") == 2500
    assert middle([sample(100)], "cpu_each") is None


@pytest.mark.parametrize(("value", "holds"), [(0.4999, False), (0.5, True), (2.0, True)])
def test_a_bar_holds_by_the_figure_before_rounding(
    value: float, holds: bool
) -> None:  # a parameter of the test
    measured = Ratio(value=value, low=value, high=value)
    assert Line(what="x", measured=measured, unit="y", bar=0.5).holds is holds
