"""Generated documents are committed: this writes one, or reports that it is stale."""

import sys
from collections.abc import Sequence
from pathlib import Path

CHECK = "--check"


def write_or_check(file: Path, text: str, arguments: Sequence[str]) -> int:
    """Write `text`, or compare it with the file if ``--check`` is among the arguments.

    Returns:
        The exit status: 1 if the file is missing or differs.
    """
    if CHECK not in arguments:
        file.write_text(text, encoding="utf-8")
        return 0
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        print(f"{file} is stale: run `make documents`", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0
