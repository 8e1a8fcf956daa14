"""A POST with a body through the gateway, beside HAProxy."""

from collections.abc import Mapping
from dataclasses import replace

from bench.gateway import CLIENTS, GATEWAY, HAPROXY, USERS, tokens_file, versions, wrk_side
from bench.load import Load, Requests, Wrk
from bench.proxies import Cores, start_gateway, start_haproxy, start_upstream
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, ratio, take_turns
from bench.tools import find, version_of
from slipway.local.program import Program

TOOLS = ("wrk", "haproxy")
BYTES = 1024
_PATH = "/api/v1/orders"
_BAR = 0.5
_METHOD = f"""\
As in the gateway's row, with the same duties and the same peer, but `wrk` sends POSTs with a body
of {BYTES:,} bytes and a `Content-Length`, by {USERS} users on {CLIENTS} connections. The upstream
reads the body and answers as it does to a GET."""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    cores = Cores.of_this_machine()
    upstream = await start_upstream(rig, cores)
    proxies = {
        GATEWAY: await start_gateway(rig, upstream, cores),
        HAPROXY: await start_haproxy(rig, upstream, cores),
    }
    load = Wrk(find("wrk"), rig.state.path, core=cores.load)
    finding = await compare(rig, load, proxies, pace)
    tools = [(name, await version_of(name)) for name in TOOLS]
    return replace(finding, versions=(*finding.versions, *tools))


async def compare(rig: Rig, load: Load, proxies: Mapping[str, Program], pace: Pace) -> Finding:
    """Measure both proxies in turns."""
    requests = await posts(rig)
    sides = {name: wrk_side(load, program, requests) for name, program in proxies.items()}
    samples = await take_turns(sides, pace, rig.reporter.say)
    return Finding(
        title="A POST through the gateway",
        lines=[
            Line(
                what=f"gateway, authenticated proxied POST of {BYTES:,} bytes, one worker",
                measured=ratio(samples[GATEWAY], samples[HAPROXY]),
                unit=HAPROXY,
                bar=_BAR,
            )
        ],
        method=_METHOD,
        samples=samples,
        versions=await versions(rig),
    )


async def posts(rig: Rig) -> Requests:
    """Return POSTs with a body of JSON, by many users in turn."""
    body = f'{{"note":"{"x" * (BYTES - len('{"note":""}'))}"}}'
    wanted = await rig.write("posts.txt", f"POST\t{_PATH}\t{body}\n")
    return Requests(script="turns.lua", arguments=(str(await tokens_file(rig)), str(wanted)))
