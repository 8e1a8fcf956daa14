"""Writes the SQL of each migration, for squawk: ``lint.py DIRECTORY``.

A migration runs while the previous release serves. squawk finds statements that would lock a table
for long, or that the previous release would not survive. Those in ``released.txt`` (file, and the
rules that they break) are not written: they were released before this check, and stay as they are.
"""

import importlib.util
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory


class Everything:
    """Contains each name."""

    def __contains__(self, name: object) -> bool:
        """Return True."""
        return True


# What a service may choose of the chassis' tables and topics: all, so that each statement is seen.
EVERYTHING = {"chassis_tables": Everything(), "urgent_topics": ("slipway.example",)}
RELEASED = Path(__file__).with_name("released.txt")
PLACES = ("services/*/migrations/versions/*.py", "libs/chassis/src/chassis/database/revisions/*.py")


def migrations() -> Iterator[Path]:
    """Yield the file of each migration that is not released yet."""
    lines = RELEASED.read_text(encoding="utf-8").splitlines()
    released = {line.partition(" ")[0] for line in lines}
    for place in PLACES:
        for file in sorted(Path().glob(place)):
            if file.name != "__init__.py" and str(file) not in released:
                yield file


def sql_of(file: Path) -> str:
    """Return the statements of a migration's ``upgrade``."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        message = f"{file} can't be imported. Name it like a module."
        raise ImportError(message)
    module = importlib.util.module_from_spec(spec)
    text = io.StringIO()
    options = {"as_sql": True, "output_buffer": text}
    config = Config()
    config.attributes |= EVERYTHING
    environment = EnvironmentContext(config, ScriptDirectory(str(file.parent)))
    context = MigrationContext.configure(
        dialect_name="postgresql", opts=options, environment_context=environment
    )
    with Operations.context(context):
        spec.loader.exec_module(module)
        module.upgrade()
    return text.getvalue()


def main(directory: Path) -> None:
    """Write one file for each migration."""
    for file in migrations():
        service = file.parts[1]
        (directory / f"{service}-{file.stem}.sql").write_text(sql_of(file), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
