"""Each row of the event backbone runs once, with few events, on real servers and real sides."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console

from bench.backbone import (
    CONSUMER,
    CONSUMER_LOOP,
    RELAY,
    Backbone,
    fill_worker,
    finding_of,
    open_backbone,
)
from bench.builds import Build
from bench.jobs import compare_jobs, fill, pgbench_side, side
from bench.rig import Rig, open_rig
from bench.rounds import Pace, Sample
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.state import find_root

pytestmark = pytest.mark.xdist_group("own servers")


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    directory: Path = tmp_path_factory.mktemp("bench")
    async with open_rig(
        Build.this(find_root(Path(__file__))), directory, Reporter(Console(quiet=True))
    ) as one:
        yield one


@pytest.fixture(scope="module")
async def backbone(rig: Rig) -> Backbone:
    return await open_backbone(rig)


async def test_each_side_runs_and_does_what_it_is_there_for(backbone: Backbone) -> None:
    await backbone.side("fill", 5_000)
    names = (CONSUMER, "consumer-orm", "plain-consumer", "plain-producer")
    await asyncio.gather(backbone.relay(0.2), *(backbone.side(name, 0.2) for name in names))
    assert 0 < await backbone.ask("SELECT count(*) FROM outbox") < 24_000
    assert await backbone.ask("SELECT count(*) FROM moves") > 0


async def test_a_round_that_came_to_the_end_is_void(backbone: Backbone) -> None:
    await backbone.fill(100)
    with pytest.raises(SlipwayError, match="ran out of its 100 events"):
        await backbone.side(RELAY, 0.5, events=100)


async def test_a_worker_takes_in_what_it_published(rig: Rig, backbone: Backbone) -> None:
    finding = await fill_worker(rig, backbone, events=2000)
    [line] = finding.lines
    assert 20 < line.measured.value < 1000
    assert await backbone.ask("SELECT count(*) FROM outbox") == 0


async def test_the_row_of_jobs(rig: Rig, backbone: Backbone) -> None:
    pace = Pace(sweeps=1, seconds=0.3, warm_up=0.1)
    finding = await compare_jobs(rig, backbone, pace, many=2000)
    assert len(finding.lines) == 4
    assert all(line.measured.value > 0 for line in finding.lines)
    samples = [sample for side in finding.samples.values() for sample in side]
    assert all(sample.operations > 0 for sample in samples)


async def test_a_round_that_ran_out_of_jobs_is_void(rig: Rig, backbone: Backbone) -> None:
    await fill(backbone, 1)  # the first job that is done, which begins the round, is the last
    with pytest.raises(SlipwayError, match="inside ran out of its 1 jobs before the round's end"):
        await side(backbone, "inside", 0.3, jobs=1)
    with pytest.raises(SlipwayError, match="pgbench ran out of its 1 jobs"):
        await pgbench_side(backbone, rig.state.servers / "few.sql", 1, jobs=1)


def test_a_finding_says_what_the_guarantees_cost() -> None:
    ours = [Sample(operations=9000, seconds=1, cpu=1), Sample(operations=7000, seconds=1, cpu=1)]
    peers = [Sample(operations=18_000, seconds=1, cpu=1)] * 2
    finding = finding_of(
        title="The consumer",
        what="consumer",
        samples={CONSUMER: ours, CONSUMER_LOOP: peers},
        ours=CONSUMER,
        peer=CONSUMER_LOOP,
        bar=8000,
        method="",
    )
    [line] = finding.lines
    assert (line.measured.value, line.measured.low, line.holds) == (8000, 7000, True)
    [note] = finding.notes
    assert "does 0.44 of what" in note
