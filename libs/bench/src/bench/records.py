"""What was measured is kept as data, a file for each row, so that one row can be renewed alone.

`docs/performance.md` is written from these files. They are written by the command alone, too.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter

from bench.machine import Machine
from bench.results import Finding
from bench.rounds import Pace
from bench.tools import find, output_of
from slipway.errors import SlipwayError

PAGE = Path("docs/performance.md")
_DIRECTORY = Path("docs/performance")
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The result of one row, with when and where it was measured.

    Attributes:
        row: the row's name.
        at: when the row's measurement ended.
        commit: the commit of the measured tree, and whether the tree had other changes.
        machine: the machine, before the run.
        pace: of the run.
        finding: the result.
    """

    row: str
    at: datetime
    commit: str
    machine: Machine
    pace: Pace
    finding: Finding


_RECORD = TypeAdapter(Record)


def keep(root: Path, record: Record) -> None:
    """Write a record in place of the row's last one."""
    directory = root / _DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    _file(root, record.row).write_bytes(_RECORD.dump_json(record, indent=1) + b"\n")


def kept(root: Path, rows: Sequence[str]) -> Sequence[Record]:
    """Return the records of these rows, in this order; a row that has none is left out."""
    files = (_file(root, row) for row in rows)
    return [_RECORD.validate_json(file.read_bytes()) for file in files if file.exists()]


def _file(root: Path, row: str) -> Path:
    return root / _DIRECTORY / f"{row}.json"


async def commit_of(root: Path) -> str:
    """Return the commit of a tree, and whether it has changes besides the results themselves."""
    if not await asyncio.to_thread((root / ".git").exists):
        return _UNKNOWN
    git = find("git")
    others = (".", f":!{PAGE}", f":!{_DIRECTORY}")
    try:
        commit = await output_of(git, "-C", root, "rev-parse", "--short=12", "HEAD")
        changes = await output_of(git, "-C", root, "status", "--porcelain", "--", *others)
    except SlipwayError:  # no commit yet, or a tree that git refuses to read
        return _UNKNOWN
    return f"{commit.strip()}{', with changes' if changes.strip() else ''}"
