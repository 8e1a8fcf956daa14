"""Rounds in turn, A B B A: what drifts on a machine drifts for all sides alike."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

type Samples = Mapping[str, Sequence["Sample"]]
type Side = Callable[[float], Awaitable["Sample"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one side did in one round.

    Attributes:
        operations: how many.
        seconds: in which time.
        p50: latency in ms; None where the load generator does not say.
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
        """Operations in a second."""
        return self.operations / self.seconds

    @property
    def cpu_each(self) -> float | None:
        """Microseconds of CPU for one operation."""
        return None if self.cpu is None else self.cpu / self.operations * 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """The median of the sweeps' ratios, and the outermost of them."""

    value: float
    low: float
    high: float


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
    """Compare two sides sweep by sweep."""
    each = [one.per_second / other.per_second for one, other in zip(of, to, strict=True)]
    return Ratio(value=median(each), low=min(each), high=max(each))
