"""The composition root: opens everything that the gateway holds while it runs."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp

from chassis.auth import TokenVerifier
from chassis.auth.keys import PublicKeys
from chassis.ended_sessions import follow_ended_sessions
from chassis.http.context import RequestContext
from chassis.http.failures import Failures
from chassis.http.metrics import HttpMetrics
from chassis.process import Process
from chassis.telemetry.request_lines import RequestLines
from gateway.addresses import Addresses
from gateway.admission import Admission
from gateway.api_keys import SERVICE, ApiKeys
from gateway.bulkheads import Bulkheads
from gateway.documents import Documents
from gateway.ended_sessions import SessionsEnded
from gateway.exports import Exports
from gateway.graph.gate import Gate
from gateway.graph.wiring import Graph, open_graph
from gateway.guards.guard import Guard, guards_of
from gateway.limits import open_limits
from gateway.links.cache import Cache
from gateway.links.cache_metrics import CacheMetrics
from gateway.links.problems import AcceptedProblems
from gateway.methods import Methods
from gateway.own_limits import OwnCounts
from gateway.path.links import Duties
from gateway.path.server import PathServer
from gateway.path.sweep import Sweep
from gateway.relays import Relays
from gateway.routes import SERVICES, RouteTable
from gateway.settings import GatewaySettings
from gateway.socket_bounds import UNLIMITED, SocketBounds, SocketMetrics
from gateway.streams import Streams
from gateway.tracing import ServerSpan, Traces
from gateway.upstreams import Upstream, open_upstreams
from gateway.websockets import Sockets

NAME = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The data paths.

    Attributes:
        server: what the exchanges of all connections share.
        websocket: serves WebSockets.
        exports: serves merged documents. From the outside in: trace; request id and log line;
            failures; exports.
    """

    server: PathServer
    websocket: ASGIApp
    exports: ASGIApp


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The objects for routes and callers that need no open resource."""

    table: RouteTable
    addresses: Addresses
    traces: Traces
    methods: Methods
    metrics: HttpMetrics
    own_counts: OwnCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The objects that are open while the gateway runs."""

    paths: Paths
    documents: Documents
    graph: Graph


@asynccontextmanager
async def open_resources(
    settings: GatewaySettings, process: Process, door: Door
) -> AsyncIterator[Resources]:
    """Open everything. The gateway starts even if Valkey, Kafka or a service is unavailable."""
    verifier = TokenVerifier(
        keys=await asyncio.to_thread(PublicKeys, settings.auth_jwks_file),
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
        lifetime=settings.access_lifetime,
        revoked=follow_ended_sessions(process, settings, SessionsEnded),
    )
    async with (
        open_upstreams(settings, process.registry) as upstreams,
        open_limits(settings, process.registry) as limits,
    ):
        door.own_counts.limits = limits
        admission = Admission(
            verifier=verifier,
            api_keys=ApiKeys(
                users=upstreams[SERVICE], verifier=verifier, registry=process.registry
            ),
            limits=limits,
            methods=door.methods,
        )
        bounds = _socket_bounds(settings, process)
        guards = guards_of(
            SERVICES, ceiling=settings.upstream_concurrency, registry=process.registry
        )
        relays = Relays(idle_seconds=settings.websocket_idle_timeout, registry=process.registry)
        process.start(relays.watch(), name="idle sockets")
        sockets = Sockets(
            upstreams=upstreams,
            guards=guards,
            admission=admission,
            addresses=door.addresses,
            bounds=bounds,
            relays=relays,
            traces=door.traces,
        )
        bulkheads = Bulkheads(places=settings.bulkheads, registry=process.registry)
        streams = Streams(idle_seconds=settings.stream_idle_timeout, registry=process.registry)
        process.start(streams.end_when(process.stopping), name="streams' end")
        sweep = Sweep(*(upstream.sweep for upstream in upstreams.values()))
        process.start(sweep.run(), name="deadlines")
        lines = RequestLines(process.name)
        server = PathServer(
            upstreams=upstreams,
            admission=admission,
            bulkheads=bulkheads,
            streams=streams,
            traces=door.traces,
            metrics=door.metrics,
            lines=lines,
            sweep=sweep,
            duties=_duties(settings, process, guards),
        )
        await _warm(upstreams, settings.upstream_warm_seconds)
        exports = Exports(
            upstreams=upstreams,
            admission=admission,
            addresses=door.addresses,
            bulkheads=bulkheads,
            traces=door.traces,
        )

        graph = open_graph(
            settings,
            gate=Gate(
                upstreams=upstreams,
                admission=admission,
                addresses=door.addresses,
                verifier=verifier,
                traces=door.traces,
                bulkheads=bulkheads,
            ),
            bounds=bounds,
            addresses=door.addresses,
            stopping=process.stopping,
        )
        process.start(graph.websocket.watch(), name="graphql sockets")

        def served(app: ASGIApp) -> ASGIApp:
            return ServerSpan(RequestContext(Failures(app), metrics=door.metrics), door.traces)

        yield Resources(
            paths=Paths(
                server=server,
                websocket=RequestContext(graph.before(sockets), metrics=door.metrics),
                exports=AcceptedProblems(served(exports)),
            ),
            documents=Documents(upstreams=upstreams, table=door.table),
            graph=graph,
        )
        server.stop()
        lines.flush()


async def _warm(upstreams: Mapping[str, Upstream], seconds: float) -> None:
    """Open a connection to each service that is there; 0 seconds opens none."""
    if seconds:
        # A service that is not there yet must not keep the gateway from becoming ready.
        pools = (upstream.requests for upstream in upstreams.values())
        await asyncio.gather(*(pool.warm(seconds=seconds) for pool in pools))


def _socket_bounds(settings: GatewaySettings, process: Process) -> SocketBounds:
    unlimited = settings.slipway_limits == "off"
    return SocketBounds(
        limit=settings.websockets,
        limit_silent=UNLIMITED if unlimited else settings.websockets_silent_per_address,
        metrics=SocketMetrics(process.registry),
    )


def _duties(settings: GatewaySettings, process: Process, guards: Mapping[str, Guard]) -> Duties:
    cache = None
    if settings.cache_bytes:
        cache = Cache(
            max_bytes=settings.cache_bytes,
            clock=time.monotonic,
            metrics=CacheMetrics(process.registry),
        )
    return Duties(cache=cache, guards=guards)
