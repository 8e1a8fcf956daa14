"""Sorts any number of facts with bounded memory: runs in files, merged."""

import heapq
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Self

from chassis.verification.facts import Fact, read_fact

_IN_MEMORY = 100_000
_TAB = "\t"


class SortedFacts:
    """Facts, sorted by group and key; a context manager that deletes its files.

    Args:
        directory: where the files are; None: the system's directory for temporary files.
        in_memory: how many facts are in memory at once.
    """

    def __init__(self, *, directory: Path | None = None, in_memory: int = _IN_MEMORY) -> None:
        self._directory = directory
        self._in_memory = in_memory
        self._lines: list[str] = []
        self._files: list[IO[str]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, fact: Fact) -> None:
        """Add a fact."""
        # As JSON, without its quotes: then a tab ends the order, and a line break the line. A key
        # is any text that an event or a row has.
        order = json.dumps(fact.order)[1:-1]
        self._lines.append(f"{order}{_TAB}{fact.to_line()}\n")
        if len(self._lines) >= self._in_memory:
            self._write()

    def by_key(self) -> Iterator[tuple[str, list[Fact]]]:
        """Yield the facts of each group and key, once all were added."""
        self._lines.sort()
        for file in self._files:
            file.seek(0)
        merged = heapq.merge(*self._files, self._lines)
        pairs = (line.split(_TAB, 1) for line in merged)
        for order, same in groupby(pairs, key=itemgetter(0)):
            yield order, [read_fact(line) for _, line in same]

    def _write(self) -> None:
        file = self._stack.enter_context(
            tempfile.TemporaryFile("w+", encoding="utf-8", dir=self._directory)  # noqa: SIM115 - entered
        )
        self._files.append(file)
        self._lines.sort()
        file.writelines(self._lines)
        self._lines = []
