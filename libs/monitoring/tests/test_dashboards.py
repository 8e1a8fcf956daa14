import json

import pytest

from monitoring.dashboards import DASHBOARDS
from monitoring.grafana import as_json

_WIDTH = 24


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
