"""Add a service to the tree: ``python -m scaffold NAME [--noun NOUN]``, in the repository's root.

It writes the service's own files, and its entry in each list of services. `make service` also
renews the lock file and the generated documents.
"""

import argparse
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from chassis.installed import service_names
from scaffold.clashes import refuse_clashes
from scaffold.entries import EntryRefusedError, add_entries
from scaffold.names import NameRefusedError, Names
from scaffold.rendering import rendered


def main(arguments: Sequence[str] | None = None) -> int:
    """Add the service; return the exit status: 2 if it can't be added, and nothing was written."""
    parser = argparse.ArgumentParser(prog="python -m scaffold", description=__doc__)
    parser.add_argument("name", help="the plural of its first noun, e.g. `reviews`")
    parser.add_argument("--noun", help="the singular, if it is not regular")
    wanted = parser.parse_args(arguments)
    root, services = Path.cwd(), service_names()
    try:
        names = Names.of(wanted.name, wanted.noun, taken={*services, "gateway"})
        files = dict(rendered(names, version=_version(root)))
        if there := [str(file) for file in files if (root / file).exists()]:
            parser.error(f"These files exist already: {', '.join(there)}.")
        refuse_clashes(root, names, files)
        changed = add_entries(root, names, services)
    except (NameRefusedError, EntryRefusedError) as error:
        parser.error(str(error))
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
        sys.stdout.write(f"new      {path}\n")
    for file in changed:
        sys.stdout.write(f"changed  {file.relative_to(root)}\n")
    return 0


def _version(root: Path) -> str:
    """Return the version of the repository's packages."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["version"])


if __name__ == "__main__":
    sys.exit(main())
