"""Renders the templates of a service's own files."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from string import Template

from scaffold.names import Names

_SUFFIX = ".tmpl"


def rendered(names: Names, *, version: str) -> Iterator[tuple[PurePosixPath, str]]:
    """Yield each file of a new service: its path from the repository's root, and its text.

    Args:
        names: of the service.
        version: of its package. All packages of a release have the same.
    """
    values = names.values | {"version": version}
    for path, template in _templates(files("scaffold") / "templates", PurePosixPath()):
        name = str(path).removesuffix(_SUFFIX)
        place = name.replace("_service_", names.service).replace("_noun_", names.noun)
        yield PurePosixPath(place), Template(template.read_text("utf-8")).substitute(values)


def _templates(
    directory: Traversable, path: PurePosixPath
) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _templates(entry, path / entry.name)
        elif entry.name.endswith(_SUFFIX):
            yield path / entry.name, entry
