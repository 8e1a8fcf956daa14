"""Rows are measured one after the other, and then one page is written for all of them."""

from pathlib import Path

import pytest
from rich.console import Console

from bench.command import ROWS, Bench, Row
from bench.records import commit_of, kept
from bench.report import document
from bench.results import TIMES, Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Ratio, Sample
from bench.tools import find, output_of
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.state import find_root


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


def bench(root: Path, console: Console, second=measure, *, trial: bool = False) -> Bench:
    rows = [Row(name="one", tools=(), measure=measure), Row(name="two", tools=(), measure=second)]
    return Bench(
        root=root,
        directory=root / "bench",
        reporter=Reporter(console),
        rows=rows,
        pace=Pace(sweeps=1),
        trial=trial,
    )


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=100, quiet=False, force_terminal=False)


def page_of(root: Path) -> str:
    return (root / "docs/performance.md").read_text()


async def test_all_rows_together_write_the_page(root: Path, console: Console) -> None:
    assert await bench(root, console).run([])
    page = page_of(root)
    assert page.count(f"| things | 2.0 {TIMES} others | ≥ 1 {TIMES} others | yes |") == 2
    assert "Not measured since" not in page
    assert "Written: docs/performance.md" in console.export_text()


async def test_one_row_is_renewed_and_the_others_stay(root: Path, console: Console) -> None:
    assert await bench(root, console).run(["two"])
    assert "Row one" not in console.export_text()
    assert "Not measured since results are kept by row: one." in page_of(root)
    assert await bench(root, console).run(["one"])
    assert "Not measured since" not in page_of(root)
    one, two = kept(root, ["one", "two"])
    assert (one.row, two.row) == ("one", "two")
    assert one.at > two.at


async def test_a_trial_writes_nothing(root: Path, console: Console) -> None:
    assert await bench(root, console, trial=True).run(["two"])
    text = console.export_text()
    assert f"2.0 {TIMES} others" in text
    assert "A trial: nothing is written" in text
    assert list((root / "docs").iterdir()) == []


async def test_an_unknown_row_is_refused(root: Path, console: Console) -> None:
    with pytest.raises(SlipwayError, match=r"There is no row three\. The rows are: one, two"):
        await bench(root, console).run(["one", "three"])


async def test_a_void_measurement_leaves_its_row_as_it_was(root: Path, console: Console) -> None:
    assert await bench(root, console).run(["two"])
    before = kept(root, ["two"])
    with pytest.raises(SlipwayError, match="void"):
        await bench(root, console, second=fail).run([])
    assert kept(root, ["two"]) == before
    assert [record.row for record in kept(root, ["one"])] == ["one"]
    assert "Not measured since" not in page_of(root)


async def test_a_result_names_the_commit_and_whether_the_tree_had_changes(tmp_path: Path) -> None:
    assert await commit_of(tmp_path) == "unknown"
    git = (find("git"), "-C", tmp_path)
    author = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    await output_of(*git, "init", "--quiet")
    await output_of(*git, *author, "commit", "--quiet", "--allow-empty", "-m", "first")
    head = (await output_of(*git, "rev-parse", "HEAD")).strip()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/performance.md").write_text("a result")
    assert await commit_of(tmp_path) == head[:12]
    (tmp_path / "code.py").write_text("")
    assert await commit_of(tmp_path) == f"{head[:12]}, with changes"


def test_the_page_is_the_one_of_the_results_that_are_kept() -> None:
    """Each result belongs to a row, and once there are results nobody edits the page by hand."""
    root = find_root(Path(__file__))
    names = [row.name for row in ROWS]
    files = {file.stem for file in (root / "docs/performance").glob("*.json")}
    assert files <= set(names)
    if files:
        missing = [name for name in names if name not in files]
        assert page_of(root) == document(kept(root, names), missing=missing)


def test_each_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
