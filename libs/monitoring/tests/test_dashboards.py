import json

import pytest

from monitoring.dashboards import DASHBOARDS
from monitoring.grafana import as_json

_WIDTH = 24
# The panels that have no data while nothing goes wrong, so that `make observe` can't check them.
_EMPTY_IN_HEALTH = {
    ("slipway-overview", "Alerts"),
    ("slipway-overview", "5xx responses"),
    ("slipway-overview", "Ping to pong, p99"),
    ("slipway-gateway", "5xx responses"),
    ("slipway-gateway", "429 responses"),
    ("slipway-gateway", "Failures"),
    ("slipway-gateway", "Shed, and sent again"),
    ("slipway-service", "5xx responses"),
    ("slipway-backbone", "Partitions that wait"),
    ("slipway-kafka", "Until a certificate expires"),
}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_the_panels_of_a_dashboard_do_not_overlap(dashboard):
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(as_json(dashboard))["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken
        assert grid["x"] + grid["w"] <= _WIDTH
        taken |= cells


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_the_ids_of_panels_are_unique_and_each_query_has_one_of_its_panel(dashboard):
    panels = json.loads(as_json(dashboard))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        names = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(names)) == len(names)


def test_the_panels_that_may_be_empty_are_these():
    assert {
        (dashboard.uid, panel.title)
        for dashboard in DASHBOARDS
        for row in dashboard.rows
        for panel in row.panels
        if panel.empty
    } == _EMPTY_IN_HEALTH


def test_only_the_dashboard_of_kubernetes_is_exempt_from_having_data_on_one_machine():
    assert {dashboard.uid for dashboard in DASHBOARDS if dashboard.unobserved} == {
        "slipway-kubernetes"
    }
