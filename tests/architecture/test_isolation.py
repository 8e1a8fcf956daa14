"""Tests do not meet: in the one PostgreSQL server they share, or in what their packages install."""

import ast
import tomllib
from pathlib import Path

import pytest

from .test_files import ROOT, tracked

# Views of the whole server: through them, a test would find other processes' sessions and locks.
VIEWS = ("pg_stat_activity", "pg_locks")
# These tests start their own servers.
OWN_SERVERS = ("libs/chassis/tests/chaos",)
PACKAGES = [one.parent for top in ("libs", "services") for one in ROOT.glob(f"{top}/*/tests")]
# The plugins of pytest whose options pyproject.toml sets for all packages.
PLUGINS = {"pytest", "pytest-asyncio", "pytest-timeout"}


def texts(file: Path) -> list[str]:
    """Return the file's string literals; the parts of an f-string are joined."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ]


def test_a_look_at_the_server_is_limited_to_the_tests_own_database():
    unlimited = [
        f"{file.relative_to(ROOT)}: {text}"
        for file in tracked()
        if "tests" in file.parts and not str(file.relative_to(ROOT)).startswith(OWN_SERVERS)
        if file != Path(__file__)
        for text in texts(file)
        if any(view in text for view in VIEWS) and "current_database()" not in text
    ]
    assert not unlimited, "add: AND datname = current_database()"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_alone_installs_what_its_tests_run_with(package):
    """`make test-isolated` runs them in an environment of that package, without the workspace's."""
    document = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    needs = [
        *document["project"]["dependencies"],
        *document.get("dependency-groups", {}).get("dev", ()),
    ]
    names = {need.partition(">")[0].partition("[")[0] for need in needs}
    assert "testkit" in names or names >= PLUGINS
