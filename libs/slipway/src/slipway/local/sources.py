"""Maps source files to packages, and packages to the processes that run them."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from watchfiles import Change, DefaultFilter

from slipway.local.processes import Row

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_is_source = DefaultFilter()  # no caches, no editors' copies


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The packages of a repository.

    Attributes:
        directories: the package of each source directory.
        processes: the names of the processes that run a package, in the table's order; none for
            what only the `slipway` command runs.
    """

    directories: Mapping[Path, str]
    processes: Mapping[str, tuple[str, ...]]

    @classmethod
    def find(cls, root: Path, rows: Iterable[Row]) -> Self:
        """Read the tree below `root`; each service depends on what its pyproject.toml names."""
        # File system events carry real paths.
        found = sorted(path.resolve() for path in root.glob("*/*/src"))
        directories = {path: path.parent.name for path in found}
        needs = {name: _needs(path.parent) for path, name in directories.items()}
        closures = {row.name: _closure(row.package, needs) for row in rows}
        processes = {
            package: tuple(name for name, closure in closures.items() if package in closure)
            for package in directories.values()
        }
        return cls(directories=directories, processes=processes)

    def package(self, path: Path) -> str | None:
        """Return the package of a source file; None for a cache, or an editor's copy."""
        for directory, name in self.directories.items():
            if path.is_relative_to(directory):
                inner = str(path.relative_to(directory))
                return name if _is_source(Change.modified, inner) else None
        return None


def _needs(package: Path) -> set[str]:
    """Return a package's declared dependencies, without extras and versions."""
    try:
        project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return set()
    dependencies: list[str] = project.get("project", {}).get("dependencies", [])
    return {match[0] for text in dependencies if (match := _NAME.match(text))}


def _closure(package: str, needs: Mapping[str, set[str]]) -> set[str]:
    """Return the package and its direct and indirect dependencies in the repository."""
    found: set[str] = set()
    waiting = {package}
    while waiting:
        name = waiting.pop()
        if name in needs and name not in found:
            found.add(name)
            waiting |= needs[name]
    return found
