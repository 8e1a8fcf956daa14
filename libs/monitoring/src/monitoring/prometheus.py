"""Render the alerts and objectives as Prometheus rules, and their cases as promtool's tests."""

from collections.abc import Iterable
from typing import Any

import yaml

from monitoring.alert import Alert, Series
from monitoring.alerts import GROUPS
from monitoring.objectives import OBJECTIVES, WINDOWS, burn_alerts, record_of

RUNBOOKS = "docs/runbooks/"
_GENERATED = "# Made by `make documents` from libs/monitoring; it is not edited by hand.\n"


def all_alerts() -> list[Alert]:
    """Return every alert."""
    return [*(alert for group in GROUPS.values() for alert in group), *burn_alerts()]


def rule_files() -> dict[str, str]:
    """Return the files of rules by the name of their group: recording rules, then alerts."""
    recorded = [
        {
            "record": record_of(window),
            "expr": objective.errors_in(window),
            "labels": {"objective": objective.name},
        }
        for objective in OBJECTIVES
        for window in WINDOWS
    ]
    files = {"objectives": [*recorded, *map(_rule, burn_alerts())]}
    files |= {name: [*map(_rule, group)] for name, group in GROUPS.items()}
    return {
        name: _dumped({"groups": [{"name": name, "rules": rules}]}) for name, rules in files.items()
    }


def rule_tests() -> dict[str, str]:
    """Return promtool's unit tests by group: each alert fires in one case, and not in the other.

    A file of tests expects the rules of its group beside it, in ``../rules``.
    """
    groups = {"objectives": (*burn_alerts(),), **GROUPS}
    return {
        name: _dumped(
            {
                "rule_files": [f"../rules/{name}.yaml"],
                # The objectives' windows are hours: evaluating them each minute takes minutes.
                "evaluation_interval": "5m" if name == "objectives" else "1m",
                "tests": [case for alert in group for case in _cases(alert)],
            }
        )
        for name, group in groups.items()
    }


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.hold,
        "labels": {"severity": str(alert.severity)},
        "annotations": {
            "summary": alert.summary,
            "impact": alert.impact,
            "runbook": RUNBOOKS + alert.runbook,
        },
    }


def _cases(alert: Alert) -> Iterable[dict[str, Any]]:
    fired = {
        "exp_labels": {"severity": str(alert.severity), **alert.labels},
        "exp_annotations": {
            "summary": alert.summary_for(alert.labels),
            "impact": alert.impact,
            "runbook": RUNBOOKS + alert.runbook,
        },
    }
    yield _case(f"{alert.name} fires", alert, alert.fires, [fired])
    yield _case(f"{alert.name} does not fire", alert, alert.quiet, [])


def _case(
    name: str, alert: Alert, series: Series, expected: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": [
            {"eval_time": alert.at, "alertname": alert.name, "exp_alerts": expected}
        ],
    }


def _dumped(document: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(document, sort_keys=False, width=1000, allow_unicode=True)
    return _GENERATED + text
