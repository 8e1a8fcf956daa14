"""Render the pages of the documentation: metrics, and alerts with their objectives."""

from collections.abc import Iterable, Sequence

from monitoring.alert import Alert
from monitoring.alerts import GROUPS
from monitoring.log_events import LogEvent
from monitoring.metrics import Metric
from monitoring.objectives import BURN_RATES, OBJECTIVES, PERIOD_DAYS, burn_alerts

_NOTE = "`make documents` writes this page from libs/monitoring; it is not edited by hand.\n"


def metrics_page(metrics: Iterable[Metric]) -> str:
    """Return docs/metrics.md."""
    rows = [
        (f"`{metric.name}`", metric.kind, _labels(metric), metric.package, metric.text)
        for metric in metrics
    ]
    return (
        "# Metrics\n\n"
        f"{_NOTE}\n"
        "Each process shows these at `/metrics` of its internal port, in Prometheus' format.\n"
        "Labels have few and bounded values: no id, no address, no raw path.\n\n"
        f"{_table(('name', 'kind', 'labels', 'declared in', 'what it is'), rows)}"
    )


def logs_page(events: Iterable[LogEvent]) -> str:
    """Return docs/logs.md."""
    rows = [
        (
            f"`{event.name}`",
            ", ".join(event.levels),
            ", ".join(f"`{field}`" for field in event.fields),
            f"`{event.module}`",
        )
        for event in events
    ]
    return (
        "# Log events\n\n"
        f"{_NOTE}\n"
        "`event` of a line is one of these names, and never changes with the data, so it can be\n"
        "searched for. [guides/logs.md](guides/logs.md) has the fields of every line. `…` stands\n"
        "for fields that depend on the case. An error has `exception` too if it has a cause.\n\n"
        f"{_table(('event', 'level', 'fields', 'logged by'), rows)}"
    )


def alerts_page() -> str:
    """Return docs/alerts.md."""
    objectives = [
        (f"`{objective.name}`", objective.text, f"{objective.target:.1%}")
        for objective in OBJECTIVES
    ]
    burns = [(rate.long, rate.short, f"{rate.factor:g}", str(rate.severity)) for rate in BURN_RATES]
    groups = {"objectives": (*burn_alerts(),), **GROUPS}
    sections = "\n".join(
        f"## {name.capitalize()}\n\n{_alerts(group)}" for name, group in groups.items()
    )
    return (
        "# Objectives and alerts\n\n"
        f"{_NOTE}\n"
        "The rules are in `deploy/prometheus/rules`. A `page` wakes somebody; a `ticket` waits\n"
        "for the working day. `make alerts-check` tests when each alert fires.\n\n"
        f"## Service level objectives, over {PERIOD_DAYS} days\n\n"
        f"{_table(('objective', 'promise', 'target'), objectives)}\n"
        "An alert fires if the error budget burns this many times too fast, over both windows:\n\n"
        f"{_table(('long window', 'short window', 'burn rate', 'severity'), burns)}\n"
        f"{sections}"
    )


def _alerts(alerts: Sequence[Alert]) -> str:
    rows = [
        (
            f"[{alert.name}](runbooks/{alert.runbook})",
            str(alert.severity),
            f"`{alert.expr}` for {alert.hold}".replace("|", "\\|"),
            alert.impact,
        )
        for alert in alerts
    ]
    return _table(("alert", "severity", "condition", "what it means for users"), rows)


def _labels(metric: Metric) -> str:
    return ", ".join(f"`{label}`" for label in metric.labels)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
