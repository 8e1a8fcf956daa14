"""Whether a schema is at its newest revisions, which are read from their files without Alembic.

Most starts of a migration find nothing to do. Alembic and the models take over a second of CPU time
to import, and the pods of a release wait for the migrations of all services.
"""

import ast
import asyncio
from pathlib import Path
from typing import Any

import asyncpg

from chassis.database.locations import CHASSIS_REVISIONS, service_revisions


async def at_newest_revisions(directory: Path, url: str) -> bool:
    """Return whether a schema has all revisions of its service, and no other.

    Args:
        directory: the folder that holds ``migrations/``.
        url: ``postgresql://…`` of the schema's owner.
    """
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return False
    finally:
        await connection.close()
    return {row["version_num"] for row in rows} == await asyncio.to_thread(
        newest_revisions, directory
    )


def newest_revisions(directory: Path) -> set[str]:
    """Return the head revisions of a service's schema: usually one of each branch.

    A revision that another one follows or depends on is not a head.
    """
    found: set[str] = set()
    followed: set[str] = set()
    for place in (CHASSIS_REVISIONS, service_revisions(directory)):
        for file in place.glob("*.py"):
            names = _assigned(ast.parse(file.read_text()))
            found.add(str(names["revision"]))
            for before in (names["down_revision"], names["depends_on"]):
                followed |= {before} if isinstance(before, str) else set(before or ())
    return found - followed


def _assigned(module: ast.Module) -> dict[str, Any]:
    """Return the values that a revision file assigns at module level."""
    names: dict[str, Any] = {"revision": None, "down_revision": None, "depends_on": None}
    for statement in module.body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        for target in targets:
            value = getattr(statement, "value", None)
            if isinstance(target, ast.Name) and target.id in names and value is not None:
                names[target.id] = ast.literal_eval(value)
    return names
