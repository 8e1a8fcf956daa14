"""The result of a row: lines of the document's first table, and the details below it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.rounds import Ratio, Sample, Samples

TIMES = "×"  # noqa: RUF001  # the sign itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One bar, and what was measured.

    Attributes:
        what: the name of the row.
        measured: the figure.
        unit: the peer's figure that a ratio refers to, or the unit of a plain figure.
        bar: the lower limit of the figure, or the upper one.
        plain: whether it is a figure of its own, not a ratio.
        at_most: whether less is better.
    """

    what: str
    measured: Ratio
    unit: str
    bar: float
    plain: bool = False
    at_most: bool = False

    @property
    def holds(self) -> bool:
        """Return whether the bar is met, before any rounding."""
        value = self.measured.value
        return value <= self.bar if self.at_most else value >= self.bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one row.

    Attributes:
        title: of its section.
        lines: of the first table.
        method: how it was measured, in Markdown.
        samples: by side.
        notes: what follows from this run's figures, in Markdown.
        versions: of what took part, by name.
        others: the share of all cores that other programs used during the row.
    """

    title: str
    lines: Sequence[Line]
    method: str
    samples: Samples
    notes: Sequence[str] = ()
    versions: Sequence[tuple[str, str]] = ()
    others: float = 0.0


def middle(samples: Sequence[Sample], field: str) -> float | None:
    """Return the median of one figure over the rounds; None if it was not measured."""
    found = [value for sample in samples if (value := getattr(sample, field)) is not None]
    return median(found) if found else None
