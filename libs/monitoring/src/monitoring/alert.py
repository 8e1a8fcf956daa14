"""What an alert is: a condition, whom it wakes, and a case for which it fires and one where not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

type Series = Mapping[str, str]
"""Input series of promtool: a sample's name with its labels, and its values, e.g. ``0+1x10``."""


class Severity(StrEnum):
    """Whom an alert wakes."""

    PAGE = "page"
    """Users are affected, or will be within the hour. Wake somebody."""
    TICKET = "ticket"
    """Somebody must look at it within the working day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert.

    Attributes:
        name: in PascalCase, as Prometheus' conventions have it.
        expr: the PromQL expression. Each series of its result is an alert.
        hold: how long it must hold before the alert fires, e.g. ``1m``.
        severity: whom it wakes.
        summary: one sentence. ``{{ $labels.job }}`` is replaced by the value of that label.
        impact: what it means for users.
        runbook: the file and section below docs/runbooks.
        fires: series for which it fires, after `at`.
        quiet: series for which it does not fire at any time until `at`: close to the limit, not
            the absence of all samples.
        labels: the labels of the alert that fires for `fires`, without alertname and severity.
        at: the time at which the cases are evaluated.
    """

    name: str
    expr: str
    hold: str = "1m"
    severity: Severity
    summary: str
    impact: str
    runbook: str
    fires: Series
    quiet: Series
    labels: Mapping[str, str] = field(default_factory=dict)
    at: str = "10m"

    def summary_for(self, labels: Mapping[str, str]) -> str:
        """Return the summary as Prometheus renders it for these labels."""
        text = self.summary
        for name, value in labels.items():
            text = text.replace(f"{{{{ $labels.{name} }}}}", value)
        return text
