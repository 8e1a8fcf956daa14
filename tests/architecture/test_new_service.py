"""`make service` adds a service that passes the checks of this tree, and its own tests."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKED = (
    "services/barnacles",
    *(
        f"tests/architecture/test_{what}.py"
        for what in ("declarations", "scopes", "services", "subscriptions", "verification")
    ),
    "tests/backup",
    "tests/contracts/test_problem_types.py",
    "libs/contracts/tests/test_events.py",
    "libs/client/tests/test_document.py",
    "services/users/tests/test_login.py",
)


@pytest.fixture
def tree(tmp_path):
    """Return a copy of this tree, as git knows it, with nothing installed."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name)
    if (cache := ROOT / ".mypy_cache").is_dir():
        shutil.copytree(cache, tmp_path / cache.name)  # saves most of a minute
    return tmp_path


def run(tree, *command):
    """Run a command in the tree; raise an AssertionError with its output if it fails."""
    path = f"{ROOT / '.slipway/tools/bin'}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment = {**kept, "PATH": path}
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        command, cwd=tree, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-10_000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_new_service_passes_the_checks_of_the_tree_and_its_own_tests(tree):
    run(tree, "make", "service", "NAME=barnacles")
    run(tree, "make", "check")
    assert " passed" in run(tree, ".venv/bin/python", "-m", "pytest", "-q", "--no-cov", *CHECKED)
