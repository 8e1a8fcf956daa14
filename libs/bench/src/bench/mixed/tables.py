"""The tables that a run prints."""

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from bench.mixed.results import PUSHES, Result
from bench.mixed.usage import Usage

_SHARES = (0.5, 0.95, 0.99)


def latency_table(result: Result) -> Table:
    """Return requests a second, durations and failures of each route class."""
    title = f"{result.requests_per_second:.1f} requests/s for {result.seconds:.0f} s"
    table = Table("class", "sent", "per s", "p50 ms", "p95 ms", "p99 ms", "failed", title=title)
    for one in sorted(result.classes, key=lambda one: (one.name in PUSHES, one.name)):
        quantiles = (one.quantile(share) for share in _SHARES)
        table.add_row(
            one.name,
            str(one.sent),
            f"{one.measured / result.seconds:.1f}" if result.seconds else "-",
            *("-" if value is None else f"{value:.1f}" for value in quantiles),
            str(one.failed),
        )
    return table


def usage_table(usages: Iterable[Usage], result: Result) -> Table:
    """Return CPU and memory of each process."""
    table = Table(
        *("process", "CPU %", "CPU ms a request", "start MiB", "middle MiB", "end MiB", "peak MiB"),
        "MiB an hour",
        title="Processes (CPU in % of one core; MiB an hour: slope of the second half)",
    )
    for usage in usages:
        requests = result.requests_per_second
        table.add_row(
            usage.name,
            f"{usage.cores:.1%}".removesuffix("%"),
            f"{usage.cores * 1000 / requests:.2f}" if requests else "-",
            *(f"{one:.1f}" for one in (usage.start, usage.middle, usage.end, usage.peak)),
            f"{usage.slope:+.1f}",
        )
    return table


def error_table(result: Result) -> Table:
    """Return the texts of the failures, the most frequent first."""
    table = Table("failures", "number")
    for text, count in sorted(result.errors.items(), key=lambda item: -item[1]):
        table.add_row(escape(text), str(count))
    return table
