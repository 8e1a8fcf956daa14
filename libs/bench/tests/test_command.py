"""Rows are measured one after the other, and then one page is written for all of them."""

from pathlib import Path

import pytest
from rich.console import Console

from bench.command import ROWS, Bench, Row
from bench.results import TIMES, Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Ratio, Sample
from slipway.console import Reporter
from slipway.errors import SlipwayError


async def measure(rig: Rig, pace: Pace) -> Finding:
    assert pace.sweeps == 1
    (user,) = await rig.users(1, "orders:read")
    assert await rig.write("token.txt", user.token) == rig.state.path / "token.txt"
    measured = Ratio(value=2, low=1, high=3)
    return Finding(
        title="T",
        lines=[Line(what="things", measured=measured, unit="others", bar=1)],
        method="M.",
        samples={"ours": [Sample(operations=1, seconds=1)]},
    )


async def fail(_rig: Rig, _pace: Pace) -> Finding:
    message = "void"
    raise SlipwayError(message)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    return tmp_path


def bench(root: Path, console: Console, second=measure) -> Bench:
    rows = [Row(name="one", tools=(), measure=measure), Row(name="two", tools=(), measure=second)]
    return Bench(
        root=root,
        directory=root / "bench",
        reporter=Reporter(console),
        rows=rows,
        pace=Pace(sweeps=1),
    )


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=100, quiet=False, force_terminal=False)


async def test_all_rows_together_write_the_page(root: Path, console: Console) -> None:
    assert await bench(root, console).run([])
    page = (root / "docs/performance.md").read_text()
    assert page.count(f"| things | 2.0 {TIMES} others | ≥ 1 {TIMES} others | yes |") == 2
    assert "Written: docs/performance.md" in console.export_text()


async def test_some_rows_are_shown_only(root: Path, console: Console) -> None:
    assert await bench(root, console).run(["two"])
    text = console.export_text()
    assert f"2.0 {TIMES} others" in text
    assert "Row one" not in text
    assert not (root / "docs/performance.md").exists()


async def test_an_unknown_row_is_refused(root: Path, console: Console) -> None:
    with pytest.raises(SlipwayError, match=r"There is no row three\. The rows are: one, two"):
        await bench(root, console).run(["one", "three"])


async def test_a_void_measurement_leaves_the_page_as_it_was(root: Path, console: Console) -> None:
    (root / "docs/performance.md").write_text("as before")
    with pytest.raises(SlipwayError, match="void"):
        await bench(root, console, second=fail).run([])
    assert (root / "docs/performance.md").read_text() == "as before"


def test_each_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
