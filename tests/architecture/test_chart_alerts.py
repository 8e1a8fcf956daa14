"""The alerts of the chart are about metrics that exist, and name a runbook that has them."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ALERTS = yaml.safe_load((ROOT / "helm/slipway/alerts.yaml").read_text(encoding="utf-8"))
METRICS = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
OF_PROMETHEUS = {"up"}
EACH = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])


def metrics_of(alert):
    names = re.findall(r"(\w+)\{(?:PODS|GATEWAY)", alert["expr"])
    return {re.sub(r"_(count|bucket|sum)$", "", name) for name in names}


@EACH
def test_its_metrics_exist(alert):
    assert metrics_of(alert)
    for name in metrics_of(alert) - OF_PROMETHEUS:
        assert f"`{name}`" in METRICS, name


@EACH
def test_its_runbook_says_what_to_do(alert):
    page = ROOT / alert["runbook"]
    assert page.parent == ROOT / "docs/runbooks"
    text = page.read_text(encoding="utf-8")
    assert any(f"`{name}" in text for name in metrics_of(alert))
