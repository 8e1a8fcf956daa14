"""The CPU time that telemetry takes of an order: sampled, off, and taken out of the code."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from uuid import UUID

from bench.load import Load, Requests, Wrk, cpu_side
from bench.machine import python_versions
from bench.results import Finding, Line
from bench.rig import SAMPLED, Rig
from bench.rounds import Pace, cpu_ratio, take_turns
from bench.shop import fill_catalogue, start_database
from bench.tools import find, version_of
from localservers.ports import free_port
from slipway.local.program import Program, ProgramSpec
from slipway.operate.database import Database
from slipway.settings import HOST

TOOLS = ("wrk",)
SAMPLING = "telemetry, a tenth of the traces sampled"
OFF = "telemetry off"
BARE = "no telemetry in the code"
_BARS = {SAMPLING: 1.15, OFF: 1.05}
_PRODUCTS = 200
_CUSTOMERS = 50
_CLIENTS = 8
_METHOD = f"""\
`wrk` places orders of two products, drawn at random from {_PRODUCTS}, by {_CUSTOMERS} customers, on
{_CLIENTS} connections, directly at the orders process. Three such processes use one database: one
exports spans and samples a tenth of the traces at their root, one has no endpoint to export to, and
from one the calls that make spans, trace headers and metrics of requests are taken out
(`bench.bare_api`). All write a log line for each request. CPU time is that of the orders process,
as the kernel counts it; it contains the thread that exports."""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    programs, products = await start(rig, products=_PRODUCTS)
    load = Wrk(find("wrk"), rig.state.path)
    finding = await compare(rig, programs, products, load, pace, clients=_CLIENTS)
    return replace(finding, versions=(*finding.versions, ("wrk", await version_of("wrk"))))


async def start(rig: Rig, *, products: int) -> tuple[Mapping[str, Program], Sequence[UUID]]:
    """Start the three processes on one server, and fill the catalogue."""
    _, database = await start_database(rig, {})
    sink = await rig.run(rig.module("upstream", free_port()))
    programs = {
        SAMPLING: await rig.run(_spec(rig, database, "sampling", sink.spec.address)),
        OFF: await rig.run(_spec(rig, database, "off", "")),
        BARE: await rig.run(_bare(_spec(rig, database, "bare", ""))),
    }
    return programs, await fill_catalogue(rig, programs[OFF].spec.address, products)


async def compare(
    rig: Rig,
    programs: Mapping[str, Program],
    products: Sequence[UUID],
    load: Load,
    pace: Pace,
    *,
    clients: int,
) -> Finding:
    """Place orders at each process in turns."""
    customers = await rig.users(_CUSTOMERS, "orders:write")
    tokens = await rig.write("tokens.txt", "".join(f"{one.token}\n" for one in customers))
    ids = await rig.write("products.txt", "".join(f"{one}\n" for one in products))
    runs = count(300_000_001)  # each begins the keys of one round

    def requests() -> Requests:
        arguments = (str(tokens), str(ids), str(next(runs)))
        return Requests(script="orders.lua", arguments=arguments)

    sides = {
        name: cpu_side(
            load, f"{program.spec.address}/api/v1/orders", requests, program, clients=clients
        )
        for name, program in programs.items()
    }
    samples = await take_turns(sides, pace, rig.reporter.say)
    return Finding(
        title="The CPU time of telemetry",
        lines=[
            Line(
                what=f"CPU time of the orders process for an order, {name}",
                measured=cpu_ratio(samples[name], samples[BARE]),
                unit=BARE,
                bar=bar,
                at_most=True,
            )
            for name, bar in _BARS.items()
        ],
        method=_METHOD,
        samples=samples,
        versions=python_versions("opentelemetry-sdk", "prometheus-client", "structlog"),
    )


def _spec(rig: Rig, database: Database, name: str, endpoint: str) -> ProgramSpec:
    """Return how to run an orders process beside others, on ports of its own."""
    port, internal = free_port(), free_port()
    spec = rig.process(
        "orders",
        database,
        PORT=str(port),
        INTERNAL_PORT=str(internal),
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_TRACES_SAMPLER_ARG=SAMPLED,
    )
    return replace(
        spec,
        name=f"orders-{name}",
        address=f"http://{HOST}:{port}",
        ready_url=f"http://{HOST}:{internal}/healthz/ready",
    )


def _bare(spec: ProgramSpec) -> ProgramSpec:
    python, *_ = spec.command
    return replace(spec, command=(python, "-m", "bench.bare_api", "orders"))
