"""The gateway's proxied GET, beside HAProxy and beside FastAPI + httpx, before one upstream."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.load import Load, Requests, Wrk, cpu_side
from bench.machine import python_versions, valkey_version
from bench.proxies import Cores, start_gateway, start_haproxy, start_plain, start_upstream
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Sample, Samples, Side, cpu_ratio, ratio, take_turns
from bench.tools import find, version_of
from slipway.local.program import Program

TOOLS = ("wrk", "haproxy")
GATEWAY = "gateway"
HAPROXY = "HAProxy"
PLAIN = "plain FastAPI + httpx pass-through"
DIRECT = "upstream itself"
_WHAT = "gateway, authenticated proxied GET, limits (Valkey) and 10 % tracing on, one worker"
_BARS = {HAPROXY: 0.7, PLAIN: 20.0}
_CPU_BAR = 0.45
PATH = "/api/v1/orders/0199c3a5-6c1e-7d53-9f5e-4a2b7c9d1e0f"
CLIENTS = 32
USERS = 200  # each stays below the default limit of 500 requests/s, which is on
_SATURATED = 0.9
_METHOD = f"""\
One upstream (`bench.upstream`: an ASGI app of ten lines on uvicorn) stands behind all
three proxies. `wrk` sends authenticated GETs on {CLIENTS} connections, by {USERS} users in turn.
The proxy under test has one core to itself; wrk, the upstream and Valkey share the other, for each
peer alike. The gateway runs with its default settings: it checks the token, counts the limits in
Valkey, samples and exports one trace in ten, and writes a log line for each request. HAProxy runs
one thread and does none of that; neither does the pass-through (`bench.passthrough`), whose
pool is as large as the gateway's. One answer of status 400 or above voids the run. The bar by CPU
compares how many requests each proxy serves for a second of its CPU time: 1 would be as cheap as
HAProxy."""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    cores = Cores.of_this_machine()
    upstream = await start_upstream(rig, cores)
    proxies = {
        GATEWAY: await start_gateway(rig, upstream, cores),
        HAPROXY: await start_haproxy(rig, upstream, cores),
        PLAIN: await start_plain(rig, upstream, cores),
    }
    load = Wrk(find("wrk"), rig.state.path, core=cores.load)
    finding = await compare(rig, load, upstream, proxies, pace)
    tools = [(name, await version_of(name)) for name in TOOLS]
    return replace(finding, versions=(*finding.versions, *tools))


async def compare(
    rig: Rig, load: Load, upstream: Program, proxies: Mapping[str, Program], pace: Pace
) -> Finding:
    """Measure each proxy, and the upstream without a proxy, in turns."""
    requests = await reads(rig)
    programs = {**proxies, DIRECT: upstream}
    sides = {name: wrk_side(load, program, requests) for name, program in programs.items()}
    samples = await take_turns(sides, pace, rig.reporter.say)
    return Finding(
        title="The gateway's proxied GET",
        lines=_lines(samples),
        method=_METHOD,
        samples=samples,
        notes=_notes(samples),
        versions=await versions(rig),
    )


def _lines(samples: Samples) -> Sequence[Line]:
    lines = [
        Line(what=_WHAT, measured=ratio(samples[GATEWAY], samples[peer]), unit=peer, bar=bar)
        for peer, bar in _BARS.items()
        if peer in samples
    ]
    if HAPROXY in samples:
        lines.append(
            Line(
                what=f"{_WHAT}: requests for a second of its CPU time",
                measured=cpu_ratio(samples[HAPROXY], samples[GATEWAY]),
                unit=HAPROXY,
                bar=_CPU_BAR,
            )
        )
    return lines


async def reads(rig: Rig) -> Requests:
    """Return authenticated GETs, by many users in turn."""
    return Requests(script="reads.lua", arguments=(str(await tokens_file(rig)),))


async def tokens_file(rig: Rig) -> Path:
    """Write the access tokens of the users who send requests in turn, and return the file."""
    users = await rig.users(USERS, "orders:read", "orders:write")
    return await rig.write("tokens.txt", "".join(f"{user.token}\n" for user in users))


async def versions(rig: Rig) -> Sequence[tuple[str, str]]:
    """Return the versions of what serves a proxied request."""
    packages = ("uvicorn", "httptools", "uvloop", "aiohttp", "fastapi", "httpx")
    return (*python_versions(*packages), ("Valkey", await valkey_version(rig.valkey())))


def wrk_side(load: Load, program: Program, requests: Requests) -> Side:
    """Return a side that sends requests to a program, and measures the program's CPU time."""
    url = f"{program.spec.address}{PATH}"
    return cpu_side(load, url, lambda: requests, program, clients=CLIENTS)


def _notes(samples: Samples) -> Sequence[str]:
    notes = []
    for name in (GATEWAY, HAPROXY, PLAIN):
        share = _share_of_core(samples.get(name, ()))
        if share is not None and share < _SATURATED:
            notes.append(
                f"{name} used {share:.0%} of its core: it waited for the other one, with the load "
                "and the upstream on it, or had to share its own."
            )
    return notes


def _share_of_core(samples: Sequence[Sample]) -> float | None:
    cpu = sum(sample.cpu or 0 for sample in samples)
    return cpu / sum(sample.seconds for sample in samples) if samples else None
