"""`docs/performance.md`: what holds and what does not, then how it was measured, and where."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from bench.machine import Machine
from bench.results import TIMES, Finding, Line, middle
from bench.rounds import Pace, Sample

_GIB = 1024**3
_INTRODUCTION = """\
# Performance

`make bench` writes this page; it is not edited by hand. Sides took turns in one run on one machine.
Most figures are ratios between them: what one machine does says little about another.
"""
_OFTEN = "median of each side's rounds; a ratio is the median of the rounds' ratios"


def document(findings: Sequence[Finding], *, machine: Machine, pace: Pace, now: datetime) -> str:
    """Return the page."""
    parts = [
        _INTRODUCTION,
        _table([line for finding in findings for line in finding.lines]),
        _where(findings, machine=machine, pace=pace, now=now),
        *(_section(finding) for finding in findings),
    ]
    return "\n".join(parts)


def as_rows(lines: Sequence[Line]) -> Sequence[tuple[str, str, str, str]]:
    """Return the cells of the first table: what, measured, bar, holds."""
    return [
        (
            line.what,
            f"{_shown(line, line.measured.value)}{_unit(line)}",
            f"{'≤' if line.at_most else '≥'} {line.bar:,g}{_unit(line)}",
            "yes" if line.holds else "no",
        )
        for line in lines
    ]


def _shown(line: Line, value: float) -> str:
    return figure(value, worse=math.ceil if line.at_most else math.floor)


def _unit(line: Line) -> str:
    return f" {line.unit}" if line.plain else f" {TIMES} {line.unit}"


def _table(lines: Sequence[Line]) -> str:
    rows = (f"| {' | '.join(cells)} |" for cells in as_rows(lines))
    return "\n".join(["| what | measured | bar | holds |", "|---|---|---|---|", *rows, ""])


def _where(findings: Sequence[Finding], *, machine: Machine, pace: Pace, now: datetime) -> str:
    versions: dict[str, str] = {}
    for finding in findings:
        versions |= dict(finding.versions)
    quiet = "" if machine.was_quiet else " (others were at work on it: the figures are noisy)"
    parts = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"""\
## Where and when

- {now.astimezone(UTC):%Y-%m-%d %H:%M} UTC
- {machine.cores} cores of {machine.cpu}, {machine.memory / _GIB:.1f} GiB, {machine.kernel}
- load average before the run: {machine.busy:.2f}{quiet}
- {parts}

Sides take turns of {pace.seconds:g} s, {pace.sweeps} times, in an order that is reversed each time
(A B B A), after {pace.warm_up:g} s of warm-up each. Below: {_OFTEN}.
"""


def _section(finding: Finding) -> str:
    ratios = "\n".join(
        f"- {line.unit if line.plain else f'{TIMES} {line.unit}'}: "
        f"{_shown(line, line.measured.value)} ({_shown(line, line.measured.low)} to "
        f"{_shown(line, line.measured.high)}), bar {line.bar:,g}"
        for line in finding.lines
    )
    noise = f"Other programs took {finding.others:.1%} of the machine's CPU time meanwhile."
    notes = "\n\n".join((*finding.notes, noise))
    parts = (f"## {finding.title}", ratios, _sides(finding.samples), finding.method, notes)
    return "\n\n".join(part for part in parts if part) + "\n"


def _sides(samples: Mapping[str, Sequence[Sample]]) -> str:
    head = "| side | a second | lowest to highest | p50 ms | p99 ms | CPU µs each |"
    rows = [head, "|---|---|---|---|---|---|"]
    for name, taken in samples.items():
        rates = [sample.per_second for sample in taken]
        cells = [
            f"{middle(taken, 'per_second'):,.0f}",
            f"{min(rates):,.0f} to {max(rates):,.0f}",
            *(_cell(middle(taken, field), places) for field, places in _FIELDS),
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


_FIELDS = (("p50", 1), ("p99", 1), ("cpu_each", 0))


def _cell(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:,.{places}f}"


def figure(value: float, *, worse: Callable[[float], int] = math.floor) -> str:
    """Return a figure with at least two digits, rounded to the worse side: 0.499 is not 0.5."""
    places = 0 if value >= 10 else 1 if value >= 1 else 2  # noqa: PLR2004  # powers of ten
    scale = 10**places
    return f"{worse(value * scale) / scale:,.{places}f}"
