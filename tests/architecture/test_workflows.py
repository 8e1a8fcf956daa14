"""CI tests each package: one that is added later must be named in the matrix."""

from pathlib import Path

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
