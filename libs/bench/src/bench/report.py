"""`docs/performance.md`: what holds and what does not, then how it was measured, and where."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC

from bench.machine import Machine
from bench.records import Record
from bench.results import TIMES, Finding, Line, middle
from bench.rounds import Pace, Sample

_GIB = 1024**3
_INTRODUCTION = """\
# Performance

`make bench` writes this page from `docs/performance/`, where it keeps the result of each row; none
of it is edited by hand. `make bench ROWS="gateway push"` renews those rows alone. The sides of a
row took turns in one run on one machine. Most figures are ratios between them: what one machine
does says little about another. Some peers are compiled programs, so a section says how the
interpreter that they are compared with was configured.
"""
_BELOW = """\
In the sections below: the median of each side's rounds; a ratio is the median of the rounds'
ratios. Sides take turns in an order that is reversed each time (A B B A).
"""


def document(records: Sequence[Record], *, missing: Sequence[str] = ()) -> str:
    """Return the page.

    Args:
        records: the results, in the order of the page.
        missing: the names of the rows that have none.
    """
    parts = [
        _INTRODUCTION,
        _table([line for record in records for line in record.finding.lines]),
        _when(records, missing),
        *(_section(record) for record in records),
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


def _when(records: Sequence[Record], missing: Sequence[str]) -> str:
    head = "| row | measured (UTC) | commit | load average before | other programs |"
    rows = [head, "|---|---|---|---|---|"]
    for record in records:
        noisy = "" if record.machine.was_quiet else ", noisy"
        cells = (
            record.row,
            f"{record.at.astimezone(UTC):%Y-%m-%d %H:%M}",
            record.commit,
            f"{record.machine.busy:.2f}{noisy}",
            f"{record.finding.others:.1%} of the CPU time",
        )
        rows.append(f"| {' | '.join(cells)} |")
    parts = ["## When", "\n".join(rows)]
    if missing:
        parts.append(f"Not measured since results are kept by row: {', '.join(missing)}.")
    return "\n\n".join([*parts, _BELOW])


def _section(record: Record) -> str:
    finding = record.finding
    ratios = "\n".join(
        f"- {line.unit if line.plain else f'{TIMES} {line.unit}'}: "
        f"{_shown(line, line.measured.value)} ({_shown(line, line.measured.low)} to "
        f"{_shown(line, line.measured.high)}), bar {line.bar:,g}"
        for line in finding.lines
    )
    parts = (
        f"## {finding.title}",
        ratios,
        _sides(finding.samples),
        finding.method,
        *finding.notes,
        _where(record.machine, record.pace, finding),
    )
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _where(machine: Machine, pace: Pace, finding: Finding) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in dict(finding.versions).items())
    quiet = "" if machine.was_quiet else "; others were at work on it: the figures are noisy"
    return (
        f"Turns of {pace.seconds:g} s, {pace.sweeps} times, after {pace.warm_up:g} s of warm-up, "
        f"on {machine.cores} cores of {machine.cpu}, {machine.memory / _GIB:.1f} GiB, "
        f"{machine.kernel}{quiet}. Other programs took {finding.others:.1%} of the machine's CPU "
        f"time meanwhile. {versions}."
    )


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
    # Two places below 2: a ratio near 1 is compared with bars like 1.05.
    places = 0 if value >= 10 else 1 if value >= 2 else 2  # noqa: PLR2004  # see above
    scale = 10**places
    return f"{worse(value * scale) / scale:,.{places}f}"
