"""The bars of a run: each function returns a sentence for each bar that does not hold."""

from collections.abc import Iterable, Iterator

from bench.mixed.results import HASHING, Result
from bench.mixed.usage import Usage

ERROR_SHARE = 0.01
P95_MILLISECONDS = 100.0
STEP_SHARE = 0.9
FLAT_NOISE = 4.0
"""MiB: what a process may grow in the second half of a run of any length."""
FLAT_HOUR = 8.0
"""MiB: what it may grow beside that in an hour; caches still fill."""


def errors(result: Result) -> Iterator[str]:
    """Judge the share of failures."""
    if result.error_share >= ERROR_SHARE:
        yield f"{result.error_share:.1%} of the requests failed; the bar is {ERROR_SHARE:.0%}."


def latencies(result: Result) -> Iterator[str]:
    """Judge p95 of each class that hashes no password."""
    for one in result.classes:
        p95 = one.quantile(0.95)
        if one.name not in HASHING and p95 is not None and p95 >= P95_MILLISECONDS:
            yield f"{one.name}: p95 is {p95:g} ms; the bar is {P95_MILLISECONDS:g} ms."


def carried(result: Result, steps_per_second: float) -> Iterator[str]:
    """Judge whether the customers kept their pace."""
    asked = steps_per_second * result.seconds
    if result.steps < STEP_SHARE * asked:
        yield (
            f"The customers took {result.steps} steps of {asked:.0f}: the machine does not carry "
            "this load. Use fewer customers."
        )


def restarts(usages: Iterable[Usage]) -> Iterator[str]:
    """Judge whether every process lived through the run."""
    for usage in usages:
        if usage.restarted:
            yield f"{usage.name} ended, and was started again. See its log."


def flatness(usages: Iterable[Usage]) -> Iterator[str]:
    """Judge the growth of our processes in the second half of the run."""
    for usage in usages:
        hours = (usage.half[-1].at - usage.half[0].at) / 3600
        grown, bar = usage.slope * hours, FLAT_NOISE + FLAT_HOUR * hours
        if usage.ours and grown > bar:
            yield (
                f"{usage.name} grew by {grown:.1f} MiB in the second half; the bar is {bar:.1f} MiB"
                f" for this time. `make memory PROCESS={usage.name}` shows what it holds."
            )
