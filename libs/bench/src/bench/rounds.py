"""Rounds in the order A B B A, so that a machine's drift affects all sides equally."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self

from slipway.errors import SlipwayError

type Samples = Mapping[str, Sequence[Sample]]
type Side = Callable[[float], Awaitable[Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The result of one side in one round.

    Attributes:
        operations: how many.
        seconds: in which time.
        p50: latency in ms; None if the load generator does not measure it.
        p99: likewise.
        cpu: seconds of CPU that the process under test took; None: not measured.
    """

    operations: int
    seconds: float
    p50: float | None = None
    p99: float | None = None
    cpu: float | None = None

    @property
    def per_second(self) -> float:
        """Return the operations per second."""
        return self.operations / self.seconds

    @property
    def cpu_each(self) -> float | None:
        """Return the CPU microseconds per operation."""
        return None if self.cpu is None else self.cpu / self.operations * 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """The median of the sweeps' ratios, and the outermost of them."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, each: Sequence[float]) -> Self:
        """Return the median and the bounds of at least one figure."""
        return cls(value=median(each), low=min(each), high=max(each))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a measurement takes.

    Attributes:
        sweeps: how often each side has its turn.
        seconds: of one turn.
        warm_up: seconds of load on each side before the first turn.
    """

    sweeps: int = 9
    seconds: float = 3.0
    warm_up: float = 2.0


async def take_turns(sides: Mapping[str, Side], pace: Pace, say: Callable[[str], None]) -> Samples:
    """Warm all sides up, then give each its turns, in an order that is reversed each time."""
    for side in sides.values():
        await side(pace.warm_up)
    samples: dict[str, list[Sample]] = {name: [] for name in sides}
    for sweep in range(pace.sweeps):
        for name in sorted(sides, key=list(sides).index, reverse=sweep % 2 == 1):
            samples[name].append(await sides[name](pace.seconds))
        figures = (f"{name} {taken[-1].per_second:,.0f}/s" for name, taken in samples.items())
        say(f"         round {sweep + 1} of {pace.sweeps}: {', '.join(figures)}")
    return samples


def ratio(of: Sequence[Sample], to: Sequence[Sample]) -> Ratio:
    """Return the ratio of two sides, compared sweep by sweep."""
    each = [one.per_second / other.per_second for one, other in zip(of, to, strict=True)]
    return Ratio.of(each)


def cpu_ratio(of: Sequence[Sample], to: Sequence[Sample]) -> Ratio:
    """Return the ratio of two sides' CPU time for an operation, compared sweep by sweep."""
    return Ratio.of([cpu_of(one) / cpu_of(other) for one, other in zip(of, to, strict=True)])


def cpu_of(sample: Sample) -> float:
    """Return the CPU microseconds per operation of a side whose CPU time was measured.

    Raises:
        SlipwayError: it took none.
    """
    if sample.cpu_each is None:
        message = "The CPU time of this side was not measured."
        raise AssertionError(message)
    if not sample.cpu_each:
        message = "A round was too short to measure its CPU time. Take longer rounds."
        raise SlipwayError(message)
    return sample.cpu_each


def rate(samples: Sequence[Sample]) -> Ratio:
    """Return how many operations a side did in a second."""
    return Ratio.of([sample.per_second for sample in samples])
