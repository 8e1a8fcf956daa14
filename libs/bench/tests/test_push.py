"""The push row: each order is pushed once, and its latency is measured from its commit."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from bench import cost, push
from bench.builds import Build
from bench.customers import Result
from bench.rig import Rig, open_rig
from bench.rounds import Pace
from bench.whole import Commits, Whole, open_whole
from localservers.ports import free_port
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.state import find_root

ONE, TWO = UUID(int=1), UUID(int=2)
PACE = Pace(sweeps=1, seconds=1, warm_up=0.5)


def test_each_order_has_its_push() -> None:
    found = Result(placed=[ONE, TWO], pushed={TWO: [4.0], ONE: [3.0]})
    assert push.received_once(found) == {ONE: 3.0, TWO: 4.0}


@pytest.mark.parametrize(
    ("placed", "pushed", "says"),
    [
        ([ONE, TWO], {ONE: [1.0]}, "Of 2 orders 1 had no push and 0 had two"),
        ([ONE], {ONE: [1.0, 2.0]}, "Of 1 orders 0 had no push and 1 had two"),
        ([ONE], {ONE: [1.0], TWO: [1.0]}, "1 pushes were about no order of the round"),
        ([], {}, "Of 0 orders"),
    ],
    ids=["missing", "doubled", "strange", "none"],
)
def test_a_round_that_does_not_add_up_is_void(
    placed: list[UUID], pushed: dict[UUID, list[float]], says: str
) -> None:
    with pytest.raises(SlipwayError, match=says):
        push.received_once(Result(placed=placed, pushed=pushed))


def test_a_latency_runs_from_the_orders_commit() -> None:
    commits = {
        ONE: Commits(placed=10.0, noted=10.003),
        TWO: Commits(placed=20.0, noted=20.001),
    }
    one = push.Round(commits, {ONE: 10.004, TWO: 20.006}, late=0.0, cpu={})
    assert one.latencies == pytest.approx([4, 6], abs=0.001)
    assert one.until_noted == pytest.approx([3, 1], abs=0.001)


def test_an_order_that_the_database_does_not_know_of_makes_a_round_void() -> None:
    commits = {ONE: Commits(placed=10.0, noted=10.003)}
    with pytest.raises(SlipwayError, match="2 pushes arrived, but the database has 1"):
        push.Round(commits, {ONE: 10.004, TWO: 20.006}, late=0.0, cpu={})


def test_a_push_before_its_commit_makes_a_round_void() -> None:
    commits = {ONE: Commits(placed=10.0, noted=10.003)}
    with pytest.raises(SlipwayError, match="arrived before the order's commit"):
        push.Round(commits, {ONE: 9.9}, late=0.0, cpu={})


def test_a_percentile_is_of_all_rounds_together() -> None:
    rounds = [[1.0] * 99 + [50.0], [2.0] * 50 + [9.0] * 50]
    found = push.of_all(rounds, 0.99)
    assert (found.value, found.low, found.high) == (9.0, 1.0, 9.0)


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with open_rig(
        Build.this(find_root(Path(__file__))), tmp_path_factory.mktemp("bench"), Reporter.silent()
    ) as rig:
        yield rig


@pytest.fixture(scope="module")
async def whole(rig: Rig, all_services: None) -> Whole:
    del all_services  # it skips
    return await open_whole(rig, customers=3, products=2, topics=[push.TOPIC])


async def test_the_row(rig: Rig, whole: Whole) -> None:
    finding = await push.compare(rig, whole, PACE, per_second=10, calm_per_second=5)
    for line in finding.lines:
        assert (line.unit, line.plain, line.at_most) == ("ms", True, True)
        assert 0 < line.measured.low <= line.measured.value <= line.measured.high
    assert [line.what.split(", ")[1:] for line in finding.lines] == [
        ["at 10 orders/s", "p50"],
        ["at 10 orders/s", "p99"],
        ["at 5 orders/s", "p50"],
    ]
    for name, orders in ((push.OURS, 10), (push.CALM, 5), (push.CHAIN, 10)):
        (sample,) = finding.samples[name]
        assert sample.operations == orders
        assert sample.p50
        assert sample.cpu
    where, spent = finding.notes
    assert "Of 10 orders the median is" in where
    for name in ("orders", "notifications-worker", "gateway", "PostgreSQL", "Kafka", "customers"):
        assert re.search(rf"{name} \d+\.\d\b", spent), spent
    assert {"aiokafka", "PostgreSQL", "Kafka", "Valkey"} <= dict(finding.versions).keys()


async def test_the_row_of_costs_compares_two_sides(rig: Rig, whole: Whole) -> None:
    """One system is both sides: a second one would be as long in starting, and no other code."""
    side = (rig, whole)
    finding = await cost.compare(side, side, PACE, per_second=10, seeds=(1_000, 2_000))
    for line in finding.lines:
        assert (line.unit, line.plain, line.at_most) == (cost.BEFORE, False, True)
        assert line.measured.value > 0
    assert [note.partition(":")[0] for note in finding.notes] == ["This build", "The build before"]


async def test_a_rig_beside_another_ends_with_it(tmp_path: Path) -> None:
    build = Build.this(find_root(Path(__file__)))
    async with open_rig(build, tmp_path / "bench", Reporter.silent()) as one:
        other = await one.beside(build)
        program = await other.run(other.module("upstream", free_port()))
        pid = program.pid
        assert pid is not None
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)
