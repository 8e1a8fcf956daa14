import re
from pathlib import Path

import pytest

from monitoring.dashboards import DASHBOARDS
from monitoring.metrics import declared_metrics
from monitoring.objectives import OBJECTIVES, RECORD
from monitoring.prometheus import all_alerts

_ROOT = Path(__file__).parents[3]
_PROMETHEUS = {
    "ALERTS",
    "up",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
}
# Of kube-state-metrics, the kubelet and cAdvisor: names and labels of their documentation.
_KUBERNETES = {
    "container_cpu_cfs_periods_total": {"namespace", "pod", "container"},
    "container_cpu_cfs_throttled_periods_total": {"namespace", "pod", "container"},
    "container_cpu_usage_seconds_total": {"namespace", "pod", "container"},
    "container_memory_working_set_bytes": {"namespace", "pod", "container"},
    "kube_deployment_spec_replicas": {"namespace", "deployment"},
    "kube_deployment_status_condition": {"namespace", "deployment", "condition", "status"},
    "kube_deployment_status_replicas_available": {"namespace", "deployment"},
    "kube_deployment_status_replicas_ready": {"namespace", "deployment"},
    "kube_horizontalpodautoscaler_spec_max_replicas": {"namespace", "horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_status_current_replicas": {
        "namespace",
        "horizontalpodautoscaler",
    },
    "kube_job_status_failed": {"namespace", "job_name"},
    "kube_pod_container_resource_limits": {"namespace", "pod", "container", "resource"},
    "kube_pod_container_status_restarts_total": {"namespace", "pod", "container"},
    "kubelet_volume_stats_available_bytes": {"namespace", "persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"namespace", "persistentvolumeclaim"},
}
_LABELS_OF_PROMETHEUS = {"job", "instance", "le", "alertname", "alertstate", "severity"}
_WORDS_OF_PROMQL = {
    *("sum", "max", "min", "by", "rate", "increase", "changes", "unless", "and", "or", "time"),
    *("histogram_quantile", "vector", "min_over_time"),
}
_DECLARED = declared_metrics(_ROOT)
_SERIES = {series: metric for metric in _DECLARED for series in metric.series}
_QUERIES = {
    **{alert.name: alert.expr for alert in all_alerts()},
    **{objective.name: objective.errors for objective in OBJECTIVES},
    **{
        f"{dashboard.uid} {row.title} {panel.title} {number}": query.expr
        for dashboard in DASHBOARDS
        for row in dashboard.rows
        for panel in row.panels
        for number, query in enumerate(panel.queries)
    },
}


def _names(query: str) -> set[str]:
    """Return the names of metrics in a query."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)", "", query)
    return set(re.findall(r"[A-Za-z_][\w:]*", bare)) - _WORDS_OF_PROMQL


def _labels(query: str) -> set[str]:
    """Return the names of labels in a query."""
    matched = re.findall(r'[{,](\w+)(?:=|!=|=~|!~)"', query)
    grouped = [name for names in re.findall(r"by \(([^)]*)\)", query) for name in names.split(", ")]
    return {*matched, *grouped}


@pytest.mark.parametrize("name", sorted(_QUERIES))
def test_a_query_names_metrics_and_labels_that_exist(name):
    query = _QUERIES[name]
    known = {"objective"} | _LABELS_OF_PROMETHEUS
    for metric in _names(query) - _PROMETHEUS:
        if metric.startswith(RECORD):
            continue
        if metric in _KUBERNETES:
            known |= _KUBERNETES[metric]
            continue
        assert metric in _SERIES, metric
        known |= set(_SERIES[metric].labels)
    assert _labels(query) <= known


def test_the_reading_of_queries_finds_metrics_and_labels():
    query = 'sum by (a, le) (rate(some_total{b="x",c=~"y"}[5m])) / count_total > 1'
    assert _names(query) == {"some_total", "count_total"}
    assert _labels(query) == {"a", "le", "b", "c"}


def test_each_metric_that_says_alert_has_one():
    watched = {name for alert in all_alerts() for name in _names(alert.expr)}
    unwatched = {
        metric.name
        for metric in _DECLARED
        if "(alert" in metric.text and not watched & set(metric.series)
    }
    assert not unwatched
