"""Images hold everything that they run, and nothing that only development and tests need."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from chassis.installed import service_names
from slipway.cli import COMMANDS

ROOT = Path(__file__).parents[2]
DEVELOPMENT = {"bench", "localservers", "testkit", "pytest"}
IMAGES = ("slipway", "gateway", *service_names())
# Start-up code beside the operators' commands. Only `up` starts servers.
ENTRIES = {
    "slipway": [
        "slipway.local.traces",
        *(entry.place.partition(":")[0] for entry in COMMANDS.values()),
    ],
    "gateway": ["gateway.app"],
    **{name: [f"{name}.declaration", "chassis.service_processes"] for name in service_names()},
}


def installed_with(package: str) -> set[str]:
    """Return all that the lock file installs with a package, without its development group."""
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    packages: dict[str, list[dict[str, Any]]] = {}
    for one in locked:
        packages.setdefault(one["name"], []).append(one)
    waiting, found = [(package, "")], set()
    while waiting:
        name, extra = one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        for version in packages[name]:
            optional = version.get("optional-dependencies", {})
            needed = optional.get(extra, []) if extra else version.get("dependencies", [])
            for dependency in needed:
                waiting += [
                    (dependency["name"], part) for part in ("", *dependency.get("extra", ()))
                ]
    return {name for name, _ in found}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_installs_nothing_of_development(image):
    installed = installed_with(image)
    assert "chassis" in installed
    assert not installed & DEVELOPMENT


def test_the_lock_file_is_read_with_extras():
    assert "localservers" in installed_with("slipway-workspace")
    assert "asyncpg" in installed_with("orders")


@pytest.mark.parametrize("image", IMAGES)
def test_what_an_image_runs_is_imported_without_the_packages_of_development(image):
    code = (
        "import sys; from importlib import import_module;"
        f"sys.modules.update(dict.fromkeys({sorted(DEVELOPMENT)}));"
        f"[import_module(name) for name in {ENTRIES[image]}]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
