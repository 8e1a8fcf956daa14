"""A pytest plugin: the tests of an earlier release get the schema of this tree.

``previous.sh`` runs the tests of that release with this file as a plugin. A schema is migrated by
this tree's own command, as a hook of its release would.
"""

import os
import subprocess
from pathlib import Path

import pytest

import testkit.databases

TREE = Path(os.environ["NEWEST_TREE"])
USED = Path(os.environ["NEWEST_SCHEMA_USED"])
# A test that runs the earlier release's own migrations expects the earlier schema before or after.
OWN_MIGRATIONS = {"upgrade", "downgrade", "check", "drift_of"}


def migrate(service_directory: Path, url: str) -> None:
    """Migrate the schema to the newest revisions of this tree; stands for ``upgrade``."""
    name = service_directory.name
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(  # noqa: S603 - our own command
        [TREE / ".venv/bin/python", "-m", "chassis.run", name, "migrate"],
        cwd=TREE / "services" / name,
        env=environment | {"DATABASE_OWNER_URL": url},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    USED.touch()


_names = vars(testkit.databases)
assert "upgrade" in _names  # noqa: S101 - an earlier release that migrates elsewhere must fail
_names["upgrade"] = migrate


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that run migrations, and report them as deselected."""
    own = [item for item in items if _runs_migrations(item)]
    if own:
        config.hook.pytest_deselected(items=own)
        items[:] = [item for item in items if item not in own]


def _runs_migrations(item: pytest.Item) -> bool:
    code = getattr(getattr(item, "function", None), "__code__", None)
    return code is not None and bool(OWN_MIGRATIONS & set(code.co_names))
