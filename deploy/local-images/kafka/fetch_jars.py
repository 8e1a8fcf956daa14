"""Fetches jars, and all that they need at run time: ``fetch_jars.py FOLDER GROUP:NAME:VERSION``."""

import shutil
import sys
import tempfile
from pathlib import Path

from jgo.maven import MavenContext


def main() -> None:
    """Put the jars into the folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as repository:
        context = MavenContext(repo_cache=Path(repository))
        wanted = [context.create_dependency(f"{one}:::compile") for one in sys.argv[2:]]
        inputs, others = context.resolver.resolve(wanted)
        for one in [*inputs, *(one for one in others if one.scope in {"compile", "runtime"})]:
            jar = Path(one.artifact.resolve())
            shutil.copy(jar, folder / jar.name)


if __name__ == "__main__":
    main()
