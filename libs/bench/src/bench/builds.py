"""Builds of the system: this tree, and an earlier commit of it with packages of its own."""

import asyncio
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from bench.tools import find, output_of
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.local.program import ProgramSpec

BEFORE = "d86a0b26dad2989568f069900956e04eddf08900"
"""The first commit whose unit of work is a transaction of asyncpg (see ADR 30)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A tree, and the interpreter that has its packages.

    Attributes:
        root: the top of the tree.
        python: the path of the interpreter.
    """

    root: Path
    python: str

    @classmethod
    def this(cls, root: Path) -> "Build":
        """Return the build that this process belongs to."""
        return cls(root=root, python=sys.executable)

    def running(self, spec: ProgramSpec) -> ProgramSpec:
        """Return a Python program's spec, run by this build in its tree."""
        return replace(spec, command=(self.python, *spec.command[1:]), directory=self.root)


async def earlier(revision: str, *, root: Path, directory: Path, reporter: Reporter) -> Build:
    """Check out an earlier commit beside this tree, and install its packages; once for each.

    Args:
        revision: a commit, as git names it.
        root: the top of this tree.
        directory: where builds are kept.
        reporter: shows progress.

    Raises:
        SlipwayError: this clone has no such commit, or its packages can't be installed.
    """
    git = find("git")
    try:
        told = await output_of(git, "-C", root, "rev-parse", "--verify", f"{revision}^{{commit}}")
    except SlipwayError as error:
        message = f"This clone has no commit {revision}, the build to compare with. Fetch it first."
        raise SlipwayError(message) from error
    tree = directory / f"build-{told.strip()[:12]}"
    python = tree / ".venv" / "bin" / "python"
    if not await asyncio.to_thread((tree / ".venv" / ".synced").exists):  # as the Makefile marks it
        with reporter.step(f"the build before, {told[:8]}"):
            if not await asyncio.to_thread(tree.exists):
                await output_of(git, "clone", "--quiet", "--no-checkout", root, tree)
            await output_of(git, "-C", tree, "checkout", "--quiet", "--detach", told.strip())
            await output_of(find("make"), "-C", tree, "install")
    return Build(root=tree, python=str(python))
