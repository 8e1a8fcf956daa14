"""Render dashboards as Grafana's JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_SCHEMA_VERSION = 39
_WIDTH = 24
_HEIGHT = 8
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL query of a panel. `legend` is Grafana's template, e.g. ``{{job}}``."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One chart.

    Attributes:
        title: its title.
        queries: what it shows.
        unit: Grafana's name of the unit: ``s``, ``reqps``, ``percentunit``, ``bytes``, ``short``.
        about: what to look for, for the person who sees it for the first time.
        empty: whether a healthy system may have no data for it, since nothing went wrong.
    """

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    about: str = ""
    empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A titled row of panels, side by side."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard.

    Attributes:
        uid: its id in URLs, and its file's name.
        title: its title.
        about: what it is for.
        rows: its rows.
        job: a regular expression of the jobs to choose from with the variable ``$job``; empty for
            a dashboard without that variable.
        namespaces: whether the variable ``$namespace`` chooses a namespace of Kubernetes.
        unobserved: why no run on one machine can have data for it; empty if one has.
    """

    uid: str
    title: str
    about: str
    rows: Sequence[Row]
    job: str = ""
    namespaces: bool = False
    unobserved: str = ""
    tags: Sequence[str] = field(default=("slipway",))


def as_json(dashboard: Dashboard) -> str:
    """Return the dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in dashboard.rows:
        panels.append(_row(row, len(panels) + 1, top))
        width = _WIDTH // len(row.panels)
        for place, panel in enumerate(row.panels):
            grid = {"x": place * width, "y": top + 1, "w": width, "h": _HEIGHT}
            panels.append(_panel(panel, len(panels) + 1, grid))
        top += _HEIGHT + 1
    document = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": list(dashboard.tags),
        "schemaVersion": _SCHEMA_VERSION,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": _variables(dashboard)},
        "panels": panels,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    variables: list[dict[str, Any]] = [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    ]
    if dashboard.job:
        labels = _labels("job", "Process", "label_values(up, job)")
        variables.append({**labels, "regex": f"/^({dashboard.job})$/"})
    if dashboard.namespaces:
        query = "label_values(kube_deployment_spec_replicas, namespace)"
        variables.append(_labels("namespace", "Namespace", query))
    return variables


def _labels(name: str, title: str, query: str) -> dict[str, Any]:
    """Return a variable that chooses from the values of a label."""
    return {
        "name": name,
        "type": "query",
        "label": title,
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }


def _row(row: Row, number: int, top: int) -> dict[str, Any]:
    grid = {"x": 0, "y": top, "w": _WIDTH, "h": 1}
    return {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": grid}


def _panel(panel: Panel, number: int, grid: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "gridPos": grid,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
            }
            for place, query in enumerate(panel.queries)
        ],
    }
