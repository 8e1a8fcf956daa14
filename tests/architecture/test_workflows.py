"""CI's matrix has each package, and a release stops at a chart of another version."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def test_each_package_with_tests_is_a_part_of_ci():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    parts = workflow["jobs"]["test"]["strategy"]["matrix"]["part"]
    named = [name for part in parts for name in part.split()]
    packages = {
        str(tests.parent.relative_to(ROOT))
        for place in ("libs/*/tests", "services/*/tests")
        for tests in ROOT.glob(place)
    }
    assert sorted(named) == sorted(packages | {"tests"})


@pytest.mark.parametrize(
    ("raised", "fault"),
    [
        ("", None),
        ("^version: ", "has version 9.9.9"),
        ("^appVersion: ", "has appVersion 9.9.9"),
        ("^    version: ", "depends on a chart of version 9.9.9"),
        ("^  - { name: gateway, version: ", "depends on a chart of version 9.9.9"),
    ],
)
def test_a_release_stops_if_a_chart_has_another_version(tmp_path, raised, fault):
    charts = sorted(ROOT.glob("helm/*/Chart.yaml"))
    version = yaml.safe_load(charts[0].read_text(encoding="utf-8"))["version"]
    for chart in charts:
        text = chart.read_text(encoding="utf-8")
        if raised and chart.parent.name == "slipway":
            old = re.compile(rf'({raised})"?{re.escape(version)}', re.MULTILINE)
            text = old.sub(r"\g<1>9.9.9", text)
        (tmp_path / chart.parent.relative_to(ROOT)).mkdir(parents=True)
        (tmp_path / chart.relative_to(ROOT)).write_text(text, encoding="utf-8")
    script = ROOT / ".github/scripts/versions.sh"
    done = subprocess.run(
        ["bash", script, version], cwd=tmp_path, check=False, text=True, capture_output=True
    )
    assert (done.returncode != 0) == (fault is not None)
    assert (fault or "") in done.stderr
