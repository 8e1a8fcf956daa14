"""The verification of an access token, beside the bare check of its signature."""

import json
import sys
from functools import partial

from bench.machine import python_versions
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Ratio, Sample, Side, cpu_of, cpu_ratio, take_turns
from bench.tools import output_of

RAW = "bare ES256 check"
FRESH = "a token for the first time"
CACHED = "a token again, from the cache"
_BAR = 2
_CACHED_BAR = 2.0
_METHOD = """\
One token of a customer, in a process without a server and with one thread. The bare check is
`cryptography`'s, of the same bytes, with the signature already in the form that it takes. The whole
verification parses the token, finds its key, checks the signature and the claims, and compares
with 1,000 sessions that have ended. All figures are CPU time, which other programs on the machine
disturb least."""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    sides: dict[str, Side] = {
        RAW: partial(identity_side, "raw"),
        FRESH: partial(identity_side, "fresh"),
        CACHED: partial(identity_side, "cached"),
    }
    samples = await take_turns(sides, pace, rig.reporter.say)
    return Finding(
        title="Tokens",
        lines=[
            Line(
                what="token verification",
                measured=cpu_ratio(samples[FRESH], samples[RAW]),
                unit="the CPU time of a bare ES256 check",
                bar=_BAR,
                at_most=True,
            ),
            Line(
                what="token verification, cached",
                measured=Ratio.of([cpu_of(sample) for sample in samples[CACHED]]),
                unit="µs of CPU time",
                bar=_CACHED_BAR,
                plain=True,
                at_most=True,
            ),
        ],
        method=_METHOD,
        samples=samples,
        versions=python_versions("cryptography", "joserfc"),
    )


async def identity_side(name: str, seconds: float) -> Sample:
    """Run a side of `bench.identity_sides` in a process of its own."""
    output = await output_of(sys.executable, "-m", "bench.identity_sides", name, f"{seconds:g}")
    found = json.loads(output.splitlines()[-1])
    return Sample(operations=found["operations"], seconds=found["seconds"], cpu=found["cpu"])
