"""The newest revisions of a schema are read from files, and are those that Alembic finds."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from chassis.database.locations import CHASSIS_REVISIONS, ENVIRONMENT, service_revisions
from chassis.database.newest import newest_revisions

SERVICES = Path(__file__).parents[4] / "services"


def test_the_newest_revision_is_the_one_without_a_successor(tmp_path: Path) -> None:
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (chassis,) = newest_revisions(tmp_path)
    for name, before in (("a", None), ("b", "a"), ("c", "a"), ("d", ("b", "c"))):
        (versions / f"{name}.py").write_text(f"revision = {name!r}\ndown_revision = {before!r}\n")
    assert newest_revisions(tmp_path) == {chassis, "d"}
    (versions / "d.py").write_text(
        "revision: str = 'd'\ndown_revision: tuple[str, ...] = ('b', 'c')\n"
        f"depends_on = {chassis!r}\n"
    )
    assert newest_revisions(tmp_path) == {"d"}
    (versions / "d.py").unlink()
    assert newest_revisions(tmp_path) == {chassis, "b", "c"}


@pytest.mark.parametrize(
    "directory", [each.parent for each in SERVICES.glob("*/migrations")], ids=lambda each: each.name
)
def test_alembic_finds_the_same(directory: Path) -> None:
    """Otherwise a migration would end without its newest revision."""
    config = Config()
    config.set_main_option("script_location", str(ENVIRONMENT))
    config.set_main_option("path_separator", "newline")
    places = (CHASSIS_REVISIONS, service_revisions(directory))
    config.set_main_option("version_locations", "\n".join(map(str, places)))
    with Operations.context(MigrationContext.configure(dialect_name="postgresql")):
        heads = ScriptDirectory.from_config(config).get_heads()  # it runs the revisions' modules
    assert newest_revisions(directory) == set(heads)
