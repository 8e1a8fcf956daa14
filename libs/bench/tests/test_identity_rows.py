"""The rows of log-ins and tokens run once, for moments; no figure is compared with its bar."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from bench import log_ins, tokens
from bench.builds import Build
from bench.rig import Rig, open_rig
from bench.rounds import Pace
from bench.tools import output_of
from bench.watched_api import delay_between, delays_in
from slipway.console import Reporter
from slipway.state import find_root

PACE = Pace(sweeps=1, seconds=0.3, warm_up=0.1)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    root = await asyncio.to_thread(find_root, Path(__file__))
    async with open_rig(Build.this(root), tmp_path / "bench", Reporter.silent()) as rig:
        yield rig


@pytest.mark.usefixtures("all_services")
async def test_the_log_ins_row(rig: Rig) -> None:
    finding = await log_ins.compare(rig, PACE, clients=2)
    assert [line.what for line in finding.lines] == [
        "log-ins",
        "delay of the event loop while 2 clients log in, p99",
    ]
    assert all(taken[0].operations for taken in finding.samples.values())
    assert finding.lines[1].measured.value > 0


async def test_the_tokens_row(rig: Rig) -> None:
    finding = await tokens.measure(rig, PACE)
    assert list(finding.samples) == [tokens.RAW, tokens.FRESH, tokens.CACHED]
    assert all(taken[0].operations for taken in finding.samples.values())
    assert [line.at_most for line in finding.lines] == [True, True]


async def test_the_bare_hash_has_the_parameters_of_the_service() -> None:
    code = (
        "from argon2 import extract_parameters; from bench.identity_sides import hasher;"
        "from chassis.auth.passwords import Passwords; import asyncio;"
        "theirs = extract_parameters(asyncio.run(Passwords().hash('x')));"
        "print(theirs == extract_parameters(hasher().hash('x')))"
    )
    assert (await output_of(sys.executable, "-c", code)).split()[-1] == "True"


def test_the_delay_of_a_round_is_what_was_added_in_it() -> None:
    registry = CollectorRegistry()
    delays = Histogram(
        "bench_loop_delay_seconds", "D.", buckets=(0.001, 0.005, 0.02), registry=registry
    )
    delays.observe(0.3)
    before = delays_in(generate_latest(registry).decode())
    for seconds in [0.0005] * 98 + [0.004] * 2:
        delays.observe(seconds)
    after = delays_in(generate_latest(registry).decode())
    assert delay_between(before, after, 0.98) == 1
    assert delay_between(before, after, 0.99) == 5
    assert json.dumps(sorted(after)[:3]) == "[0.001, 0.005, 0.02]"
