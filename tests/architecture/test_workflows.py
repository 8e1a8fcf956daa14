"""CI's matrix has each package. A release stops at a failed test, and at a version that differs."""

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


def test_a_push_to_main_does_not_end_the_tests_of_the_push_before():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert "github.sha" in workflow["concurrency"]["group"]


def test_nothing_is_published_before_the_ci_of_the_same_commit_has_passed():
    file = ROOT / ".github/workflows/release.yml"
    jobs = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"]
    publishing = {name for name, job in jobs.items() if "write" in job["permissions"].values()}
    tests = {name for name, job in jobs.items() if job.get("uses") == "./.github/workflows/ci.yml"}
    assert publishing
    for name in publishing:
        assert tests & needed_by(name, jobs), f"{name} does not wait for the tests"
        # A job with a condition of its own may run though what it needs has failed.
        assert not any("if" in jobs[each] for each in {name, *needed_by(name, jobs)}), name


def needed_by(name, jobs):
    direct = jobs[name].get("needs", [])
    direct = {direct} if isinstance(direct, str) else set(direct)
    return direct.union(*(needed_by(each, jobs) for each in direct))


def test_a_release_and_main_do_not_end_each_others_tests_of_one_commit():
    document = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert "workflow_call" in document[True]  # YAML 1.1 reads the key `on` as true
    assert "github.workflow" in document["concurrency"]["group"]


@pytest.mark.parametrize(
    ("file", "raised", "fault"),
    [
        ("", "", None),
        ("helm/slipway/Chart.yaml", "^version: ", "has version 9.9.9"),
        ("helm/slipway/Chart.yaml", "^appVersion: ", "has appVersion 9.9.9"),
        ("helm/slipway/Chart.yaml", "^    version: ", "depends on a chart of version 9.9.9"),
        (
            "helm/slipway/Chart.yaml",
            "^  - { name: gateway, version: ",
            "depends on a chart of version 9.9.9",
        ),
        ("pyproject.toml", "^version = ", "has version 9.9.9"),
        ("libs/chassis/pyproject.toml", "^version = ", "has version 9.9.9"),
        ("services/orders/pyproject.toml", "^version = ", "has version 9.9.9"),
    ],
)
def test_a_release_stops_if_a_chart_or_a_package_has_another_version(tmp_path, file, raised, fault):
    charts = sorted(ROOT.glob("helm/*/Chart.yaml"))
    packages = [
        one
        for places in ("pyproject.toml", "services/*/pyproject.toml", "libs/*/pyproject.toml")
        for one in ROOT.glob(places)
    ]
    version = yaml.safe_load(charts[0].read_text(encoding="utf-8"))["version"]
    for each in (*charts, *packages):
        text = each.read_text(encoding="utf-8")
        if each == ROOT / file:
            old = re.compile(rf'({raised}"?){re.escape(version)}', re.MULTILINE)
            text = old.sub(r"\g<1>9.9.9", text)
        copy = tmp_path / each.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="utf-8")
    script = ROOT / ".github/scripts/versions.sh"
    done = subprocess.run(
        ["bash", script, version], cwd=tmp_path, check=False, text=True, capture_output=True
    )
    assert (done.returncode != 0) == (fault is not None)
    assert (fault or "") in done.stderr
