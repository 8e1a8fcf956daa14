"""Checks a history of effects against the promises of messaging."""

from collections.abc import Iterable, Mapping
from itertools import pairwise


def faults(effects: Iterable[tuple[str, int]], raised: Mapping[str, int]) -> list[str]:
    """Return what is wrong with effects, given in their order, and how far counters were raised.

    Each counter's effects must be 1, 2, 3 … up to its value, each once and in that order. Effects
    of different counters may come in any order.
    """
    found = []
    numbers: dict[str, list[int]] = {name: [] for name in raised}
    for name, number in effects:
        numbers.setdefault(name, []).append(number)
    for name, seen in numbers.items():
        expected = range(1, raised.get(name, 0) + 1)
        found += [f"{name}: {number} is lost" for number in expected if number not in seen]
        found += [f"{name}: {number} was never raised" for number in seen if number not in expected]
        twice = {number for number in seen if seen.count(number) > 1}
        found += [f"{name}: {number} took effect {seen.count(number)} times" for number in twice]
        found += [
            f"{name}: {late} came before {early}" for late, early in pairwise(seen) if late > early
        ]
    return found
