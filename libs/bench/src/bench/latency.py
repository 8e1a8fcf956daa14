"""The time that the gateway adds to a request at a steady rate, beside HAProxy."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from statistics import median

from bench.gateway import DIRECT, GATEWAY, HAPROXY, PATH, USERS, versions
from bench.load import on_core
from bench.machine import cpu_seconds
from bench.proxies import Cores, start_gateway, start_haproxy, start_upstream
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Ratio, Sample, Samples, Side, take_turns
from bench.steady import Plan, Result
from bench.tools import output_of, version_of
from slipway.errors import SlipwayError
from slipway.local.program import Program

TOOLS = ("haproxy",)
RATE = 1000
_BAR = 0.3
_LATE_SHARE = 1.05
_METHOD = f"""\
One process (`bench.steady`) sends {RATE:,} authenticated GETs a second at random times, by {USERS}
users, and waits for no response before it sends the next one: through the gateway, through HAProxy,
and directly to the upstream. Gateway and HAProxy are those of the gateway's row, on the same cores.
What a proxy adds is the difference between its p50 and the upstream's in the same round. A round in
which the load fell behind its rate is void."""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    cores = Cores.of_this_machine()
    upstream = await start_upstream(rig, cores)
    programs = {
        GATEWAY: await start_gateway(rig, upstream, cores),
        HAPROXY: await start_haproxy(rig, upstream, cores),
        DIRECT: upstream,
    }
    finding = await compare(rig, programs, pace, cores=cores, rate=RATE)
    return replace(finding, versions=(*finding.versions, ("haproxy", await version_of("haproxy"))))


async def compare(
    rig: Rig, programs: Mapping[str, Program], pace: Pace, *, cores: Cores, rate: float
) -> Finding:
    """Measure all programs in turns, the gateway and the upstream among them."""
    tokens = [user.token for user in await rig.users(USERS, "orders:read")]
    seeds = count(1)

    def side(program: Program) -> Side:
        async def run(seconds: float) -> Sample:
            plan = Plan(
                url=f"{program.spec.address}{PATH}",
                tokens=tokens,
                per_second=rate,
                seconds=seconds,
                seed=next(seeds),
            )
            before = cpu_seconds(program)
            found = await _carried_out(rig, plan, core=cores.load)
            return Sample(
                operations=found.operations,
                seconds=found.seconds,
                p50=found.p50,
                p99=found.p99,
                cpu=cpu_seconds(program) - before,
            )

        return run

    sides = {name: side(program) for name, program in programs.items()}
    samples = await take_turns(sides, pace, rig.reporter.say)
    return Finding(
        title="What the gateway adds to a request",
        lines=[
            Line(
                what=f"added p50 at {rate:,.0f} requests/s, gateway with all duties on",
                measured=Ratio.of(_added(samples, GATEWAY)),
                unit="ms",
                bar=_BAR,
                plain=True,
                at_most=True,
            )
        ],
        method=_METHOD,
        samples=samples,
        notes=_notes(samples),
        versions=await versions(rig),
    )


async def _carried_out(rig: Rig, plan: Plan, *, core: int) -> Result:
    source = await rig.write("steady-plan.json", plan.model_dump_json())
    target = rig.state.path / "steady-result.json"
    await output_of(*on_core(core), sys.executable, "-m", "bench.steady", source, target)
    found = Result.model_validate_json(await asyncio.to_thread(target.read_bytes))
    if found.seconds > plan.seconds * _LATE_SHARE + 0.1:
        message = (
            f"The load took {found.seconds:.1f} s to send what was due in {plan.seconds:g} s, so "
            "the round is void. Run the row again on a machine that is otherwise idle."
        )
        raise SlipwayError(message)
    return found


def _added(samples: Samples, name: str) -> Sequence[float]:
    """Return the added p50 in ms, round by round."""
    pairs = zip(samples[name], samples[DIRECT], strict=True)
    return [(one.p50 or 0.0) - (direct.p50 or 0.0) for one, direct in pairs]


def _notes(samples: Samples) -> Sequence[str]:
    if HAPROXY not in samples:
        return ()
    return (f"HAProxy, without the duties, adds {median(_added(samples, HAPROXY)):.2f} ms.",)
