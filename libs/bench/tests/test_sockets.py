"""The row of sockets runs once, with few of them, on a real process."""

from pathlib import Path

import pytest

from bench.builds import Build
from bench.rig import open_rig
from bench.rounds import Pace
from bench.sockets import hold
from slipway.console import Reporter
from slipway.state import find_root

pytestmark = pytest.mark.xdist_group("own servers")


async def test_each_socket_gets_each_broadcast(tmp_path: Path) -> None:
    build = Build.this(find_root(Path(__file__)))
    async with open_rig(build, tmp_path / "bench", Reporter.silent()) as rig:
        finding = await hold(rig, Pace(sweeps=2), sockets=20)
    memory, broadcast = finding.lines
    assert memory.measured.value > 10
    assert broadcast.measured.low > 0
    assert [sample.operations for sample in finding.samples["broadcast"]] == [20, 20]
