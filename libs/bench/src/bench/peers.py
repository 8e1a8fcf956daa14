"""The gateway's CPU time for a request, beside peers with the same duties."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.duties import (
    NGINX_PACKAGES,
    check_duties,
    start_haproxy_with_duties,
    start_nginx_with_duties,
)
from bench.gateway import CLIENTS, GATEWAY, PATH, USERS, reads, versions, wrk_side
from bench.load import Load, Wrk
from bench.proxies import Cores, start_gateway, start_upstream
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Samples, cpu_ratio, take_turns
from bench.tools import find, version_of
from slipway.local.program import Program

TOOLS = ("wrk", "haproxy", *NGINX_PACKAGES)
HAPROXY = "HAProxy with the same duties"
NGINX = "nginx with Lua and the same duties"
_WHAT = "CPU time of the gateway for an authenticated proxied GET, one worker"
_BARS = {HAPROXY: 0.5, NGINX: 2.0}
_METHOD = f"""\
As in the gateway's row: `wrk` sends authenticated GETs of {USERS} users on {CLIENTS} connections to
one upstream, through one proxy at a time, which has a core to itself. Here the peers have the
gateway's main duties too: signature (ES256), issuer, audience and expiry of the access token, a
limit of requests a second for each subject, removal of the fields that only a proxy may set, the
fields that it sets itself, and a log line of JSON. Each proxy is tried before: it must refuse a
missing and a forged token, and write its line.

HAProxy checks the signature of each request anew with `jwt_verify`. Lua checks a token with OpenSSL
once, and keeps the raw token and its subject in a shared dict until it expires, as the gateway
does; with {USERS} tokens nearly every request finds its own. The limit is a stick-table in HAProxy,
and a counter for each second in nginx. Both count for themselves, while the gateway also settles
its counts with Valkey. What the peers do not do: samples and exports of traces (one in ten), a look
for sessions that have ended, fields that `Connection` names, metrics by route, retries.
HAProxy writes each log line by itself, nginx in blocks of 64 KiB, the gateway once for each turn of
its event loop.

The bars compare CPU time, which no wait for the other core distorts: the gateway may take at most
half of what HAProxy takes with these duties, whose signature check costs more than all of the rest,
and at most twice what nginx takes. Less is better."""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    cores = Cores.of_this_machine()
    upstream = await start_upstream(rig, cores)
    address = upstream.spec.address
    proxies = {
        GATEWAY: await start_gateway(rig, upstream, cores),
        HAPROXY: await start_haproxy_with_duties(rig, address, cores),
        NGINX: await start_nginx_with_duties(rig, address, cores),
    }
    load = Wrk(find("wrk"), rig.state.path, core=cores.load)
    finding = await compare(rig, load, proxies, pace)
    tools = [(name, await version_of(name)) for name in ("wrk", "haproxy", "nginx")]
    return replace(finding, versions=(*finding.versions, *tools))


async def compare(rig: Rig, load: Load, proxies: Mapping[str, Program], pace: Pace) -> Finding:
    """Check that each proxy does its duties, and measure all in turns."""
    for program in proxies.values():
        await check_duties(rig, program, PATH)
    requests = await reads(rig)
    sides = {name: wrk_side(load, program, requests) for name, program in proxies.items()}
    samples = await take_turns(sides, pace, rig.reporter.say)
    return Finding(
        title="The gateway beside peers with the same duties",
        lines=_lines(samples),
        method=_METHOD,
        samples=samples,
        versions=await versions(rig),
    )


def _lines(samples: Samples) -> Sequence[Line]:
    return [
        Line(
            what=_WHAT,
            measured=cpu_ratio(samples[GATEWAY], samples[peer]),
            unit=peer,
            bar=bar,
            at_most=True,
        )
        for peer, bar in _BARS.items()
        if peer in samples
    ]
