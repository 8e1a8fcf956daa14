"""The three proxies of the gateway's row, and the upstream behind them."""

import os
from dataclasses import dataclass

from bench.rig import Rig
from bench.tools import find
from localservers.ports import free_port
from slipway.errors import SlipwayError
from slipway.local.program import Program, ProgramSpec, inherited_environment
from slipway.operate.database import Database
from slipway.settings import HOST

_HAPROXY = """
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    http-reuse always
frontend public
    bind {host}:{port}
    default_backend service
backend service
    server upstream {upstream}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """The cores of the programs.

    Attributes:
        load: for the load generator, and the upstream behind the proxies.
        proxy: for the measured proxy.
    """

    load: int
    proxy: int

    @classmethod
    def of_this_machine(cls) -> "Cores":
        """Return the first and the last core of this process; raise SlipwayError if it has one."""
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) == 1:
            message = (
                "This process may use only one core, and the gateway's row needs two: one for "
                "the gateway and one for the load. Run it on a machine with two."
            )
            raise SlipwayError(message)
        return cls(load=cores[0], proxy=cores[-1])


async def start_upstream(rig: Rig, cores: Cores) -> Program:
    """Start the service behind the proxies."""
    spec = rig.module("upstream", free_port())
    return await rig.run(spec, core=cores.load)


async def start_gateway(rig: Rig, upstream: Program, cores: Cores) -> Program:
    """Start the gateway, and the Valkey that counts its limits."""
    await rig.serve(rig.valkey())
    spec = rig.process(
        "gateway",
        Database(superuser_url="", name="", passwords={}),  # the gateway has none
        ORDERS_URL=upstream.spec.address,
        NOTIFICATIONS_URL=upstream.spec.address,
        OTEL_EXPORTER_OTLP_ENDPOINT=upstream.spec.address,
    )
    return await rig.run(spec, core=cores.proxy)


async def start_haproxy(rig: Rig, upstream: Program, cores: Cores) -> Program:
    """Start HAProxy with one thread."""
    port = free_port()
    place = upstream.spec.address.partition("//")[2]
    config = await rig.write("haproxy.cfg", _HAPROXY.format(host=HOST, port=port, upstream=place))
    address = f"http://{HOST}:{port}"
    spec = ProgramSpec(
        name="haproxy",
        command=(str(find("haproxy")), "-db", "-q", "-f", str(config)),
        environment=inherited_environment(),
        directory=rig.root,
        address=address,
        ready_url=f"{address}/",
    )
    return await rig.run(spec, core=cores.proxy)


async def start_plain(rig: Rig, upstream: Program, cores: Cores) -> Program:
    """Start the pass-through of FastAPI and httpx."""
    spec = rig.module("passthrough", free_port(), upstream.spec.address)
    return await rig.run(spec, core=cores.proxy)
