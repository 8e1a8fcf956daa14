"""The effect on others of slow and silent clients that hold connections of the gateway."""

from dataclasses import replace

from bench.crowd import Crowd
from bench.gateway import PATH, USERS
from bench.load import Load, Requests, Wrk
from bench.machine import python_versions
from bench.proxies import Cores, start_gateway, start_upstream
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Ratio, Sample, Side, take_turns
from bench.tools import find, version_of
from slipway.errors import SlipwayError
from slipway.local.program import Program

TOOLS = ("wrk",)
CALM = "calm"
CROWDED = "beside the crowd"
SLOW, SILENT = 500, 125
_FEED = "/api/v1/notifications/ws"
_CLIENTS = 8
_P99_BAR = 3.0
_CLOSE_SECONDS = 5.0
_METHOD = f"""\
`wrk` sends authenticated GETs on {_CLIENTS} connections through the gateway to one upstream, as in
the gateway's row: with and without a crowd. The crowd is {SLOW} connections on which the head of a
request arrives at a byte a second, and {SILENT} WebSockets on which nothing follows the handshake;
each is opened again once the gateway has closed it. It comes from one address, in the bench's own
process. The gateway promises to close a silent WebSocket within {_CLOSE_SECONDS:g} s."""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    cores = Cores.of_this_machine()
    upstream = await start_upstream(rig, cores)
    gateway = await start_gateway(rig, upstream, cores)
    load = Wrk(find("wrk"), rig.state.path, core=cores.load)
    # A round must be longer than the time after which the gateway closes a silent socket.
    longer = replace(pace, sweeps=min(pace.sweeps, 3), seconds=max(pace.seconds, 12.0))
    finding = await compare(rig, load, gateway, longer)
    return replace(finding, versions=(*finding.versions, ("wrk", await version_of("wrk"))))


async def compare(rig: Rig, load: Load, gateway: Program, pace: Pace) -> Finding:
    """Measure both sides in turns."""
    users = await rig.users(USERS, "orders:read")
    tokens = await rig.write("tokens.txt", "".join(f"{user.token}\n" for user in users))
    requests = Requests(script="reads.lua", arguments=(str(tokens),))
    closed_after: list[float] = []

    async def calm(seconds: float) -> Sample:
        url = f"{gateway.spec.address}{PATH}"
        return await load.run(url, requests, clients=_CLIENTS, seconds=seconds)

    async def crowded(seconds: float) -> Sample:
        crowd = Crowd(gateway.spec.address, slow=SLOW, silent=SILENT, feed=_FEED)
        async with crowd.held():
            sample = await calm(seconds)
        closed_after.extend(crowd.closed_after)
        return sample

    sides: dict[str, Side] = {CALM: calm, CROWDED: crowded}
    samples = await take_turns(sides, pace, rig.reporter.say)
    if not closed_after:
        message = (
            "The gateway closed no silent WebSocket. Check in its log whether it accepted any."
        )
        raise SlipwayError(message)
    ratios = [
        (with_crowd.p99 or 0) / (without.p99 or 1)
        for with_crowd, without in zip(samples[CROWDED], samples[CALM], strict=True)
    ]
    return Finding(
        title="Slow and silent clients",
        lines=[
            Line(
                what=f"p99 of others beside {SLOW} slow connections and {SILENT} silent sockets",
                measured=Ratio.of(ratios),
                unit="p99 without them",
                bar=_P99_BAR,
                at_most=True,
            ),
            Line(
                what="silent WebSocket closed after, at the latest",
                measured=Ratio(
                    value=max(closed_after), low=min(closed_after), high=max(closed_after)
                ),
                unit="s",
                bar=_CLOSE_SECONDS + 0.5,
                plain=True,
                at_most=True,
            ),
        ],
        method=_METHOD,
        samples=samples,
        versions=python_versions("uvicorn", "httptools", "websockets", "aiohttp"),
    )
