"""The cost row: CPU time of two builds. The row itself runs in test_push, on its system."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import pytest

from bench import cost
from bench.builds import earlier
from bench.push import Round
from bench.tools import find, output_of
from bench.whole import Commits
from slipway.console import Reporter
from slipway.errors import SlipwayError

SILENT = Reporter.silent()
MAKEFILE = """\
install:
\tmkdir -p .venv/bin
\techo installed >> .venv/bin/python
\ttouch .venv/.synced
"""


def round_of(orders: int, cpu: Mapping[str, float]) -> Round:
    ids = [UUID(int=number) for number in range(orders)]
    commits = dict.fromkeys(ids, Commits(placed=1.0, noted=1.1))
    return Round(commits, dict.fromkeys(ids, 1.2), late=0.0, cpu=cpu)


def test_the_ratio_is_that_of_the_named_processes_for_an_order() -> None:
    ours = [round_of(10, {"orders": 1.0, "gateway": 5.0, "Kafka": 100.0})]
    theirs = [round_of(20, {"orders": 4.0, "gateway": 10.0, "Kafka": 1.0})]
    assert cost.cpu_ratio(ours, theirs, ["orders"]).value == pytest.approx(0.5)
    assert cost.cpu_ratio(ours, theirs, ["orders", "gateway"]).value == pytest.approx(6 / 7)


async def test_an_earlier_build_is_checked_out_and_installed_once(tmp_path: Path) -> None:
    root, kept = tmp_path / "root", tmp_path / "kept"
    await asyncio.to_thread(root.mkdir)
    await asyncio.to_thread((root / "Makefile").write_text, MAKEFILE)
    author = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    for arguments in (
        ("init", "--quiet"),
        ("add", "Makefile"),
        (*author, "commit", "--quiet", "-m", "first"),
        ("rm", "--quiet", "Makefile"),
        (*author, "commit", "--quiet", "-m", "second"),
    ):
        await output_of(find("git"), "-C", root, *arguments)
    build = await earlier("HEAD~1", root=root, directory=kept, reporter=SILENT)
    assert await earlier("HEAD~1", root=root, directory=kept, reporter=SILENT) == build
    assert await asyncio.to_thread((build.root / "Makefile").exists)
    assert await asyncio.to_thread(Path(build.python).read_text) == "installed\n"
    with pytest.raises(SlipwayError, match="This clone has no commit 0123abc"):
        await earlier("0123abc", root=root, directory=kept, reporter=SILENT)
