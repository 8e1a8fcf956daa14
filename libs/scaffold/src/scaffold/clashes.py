"""Names that a new service can't have: its files, or the system, use them for something else."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from string import Template
from symtable import symtable

from scaffold.names import NameRefusedError, Names
from scaffold.rendering import rendered

_UNLIKE_ALL = Names("service_", "noun_")
"""Names that no template uses for anything else."""

TAKEN = {
    "services/gateway/openapi.json": r'"/api/v1/$service["/]|"(create|get|delete)$Noun"',
    "tests/contracts/problem_types.json": r'"$noun-not-found"',
    "helm/slipway/topics.json": r'"slipway\.$service"',
    "services/users/src/users/sessions/models.py": r'"$service:',
}
"""What a service adds to the system under its name, and a file that has all of its kind."""


def refuse_clashes(root: Path, names: Names, files: Mapping[PurePosixPath, str]) -> None:
    """Raise NameRefusedError if a name of a service already means something else.

    Args:
        root: the top of the repository.
        names: of the new service.
        files: the service's own files, rendered with these names.
    """
    for file, pattern in TAKEN.items():
        text = (root / file).read_text("utf-8")
        found = re.search(Template(pattern).substitute(names.values), text)
        if found:
            message = f"{file} has {found[0]} already. Choose another name than {names.service!r}."
            raise NameRefusedError(message)
    packages = {folder for path in files for folder in path.parents}
    unlike_all = rendered(_UNLIKE_ALL, version="")
    for (path, text), (_, apart) in zip(files.items(), unlike_all, strict=True):
        if path.suffix != ".py":
            continue
        if path.with_suffix("") in packages or _sizes_of_scopes(text) != _sizes_of_scopes(apart):
            message = (
                f"{path} would use {names.service!r} or {names.noun!r} for two things. Choose "
                "another name."
            )
            raise NameRefusedError(message)


def _sizes_of_scopes(text: str) -> list[int] | None:
    """Return how many names each scope of a module has; None if one scope declares a name twice."""
    try:
        return list(_sizes(text))
    except SyntaxError:
        return None


def _sizes(text: str) -> Iterator[int]:
    tables = [symtable(text, "<a template>", "exec")]
    for table in tables:
        yield len(table.get_identifiers())
        tables += table.get_children()
