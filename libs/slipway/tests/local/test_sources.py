"""Which processes run a package's source, by what each service declares."""

from pathlib import Path

import pytest

from slipway.local.processes import PROCESSES
from slipway.local.sources import Sources

ROOT = Path(__file__).parents[4]
ALL = tuple(row.name for row in PROCESSES)


@pytest.mark.parametrize(
    ("package", "processes"),
    [
        ("orders", ("orders", "orders-worker")),
        ("gateway", ("gateway",)),
        ("chassis", ALL),
        ("product", ALL),
        ("contracts", tuple(name for name in ALL if name != "gateway")),
        ("client", ()),
        ("slipway", ()),
    ],
)
def test_a_package_concerns_the_processes_that_run_it(
    package: str, processes: tuple[str, ...]
) -> None:
    assert Sources.find(ROOT, PROCESSES).processes[package] == processes


def test_a_need_of_a_need_is_a_need(tmp_path: Path) -> None:
    make(tmp_path, "services/orders", '["first[extra]>=1", "elsewhere"]')
    make(tmp_path, "libs/first", '["second", "first"]')
    make(tmp_path, "libs/second", "[]")
    make(tmp_path, "libs/third", "[]")
    sources = Sources.find(tmp_path, PROCESSES)
    assert sources.processes == {
        "orders": ("orders", "orders-worker"),
        "first": ("orders", "orders-worker"),
        "second": ("orders", "orders-worker"),
        "third": (),
    }


def test_a_file_belongs_to_the_package_whose_source_it_is() -> None:
    sources = Sources.find(ROOT, PROCESSES)
    source = ROOT / "services/orders/src/orders"
    assert sources.package(source / "catalog/routes.py") == "orders"
    assert sources.package(source / "new.json") == "orders"
    for name in ("__pycache__/app.cpython-313.pyc", ".app.py.swp", "app.py~", ".#app.py"):
        assert sources.package(source / name) is None
    assert sources.package(ROOT / "services/orders/tests/test_orders.py") is None


def test_a_repository_below_a_folder_that_is_ignored_elsewhere(tmp_path: Path) -> None:
    make(tmp_path / ".venv", "libs/first", "[]")
    sources = Sources.find(tmp_path / ".venv", PROCESSES)
    assert sources.package(tmp_path / ".venv/libs/first/src/first/app.py") == "first"


def make(root: Path, place: str, dependencies: str) -> None:
    (root / place / "src").mkdir(parents=True)
    (root / place / "pyproject.toml").write_text(f"[project]\ndependencies = {dependencies}\n")
