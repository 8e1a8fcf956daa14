"""One process: its long-lived tasks, its two listeners, and how it starts and stops.

An API process serves its public app and, on the internal port, probes and metrics. A worker serves
only the internal port; its tasks run inside that app's lifespan.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import structlog
import uvicorn
import uvloop
from opentelemetry.sdk.resources import Resource
from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from chassis.cancellation import GuardedTaskGroup, guarded
from chassis.certificates import certificate_files, register_certificates
from chassis.connections import ConnectionBound, raise_descriptor_limit
from chassis.health import Health, health_routes
from chassis.inside_protocol import InsideProtocol
from chassis.listening import bind_host
from chassis.loop_delay import LoopDelay
from chassis.loopback import loopback_exempted
from chassis.protocol import BoundedProtocol, CommonFields, no_fields
from chassis.settings import MAX_CONNECTIONS, ProcessSettings
from chassis.telemetry import configure_logging, configure_tracing
from chassis.telemetry.level_routes import level_routes
from chassis.telemetry.resource import resource_of

# Only services with WebSockets depend on the library.
_WEBSOCKETS = (
    "chassis.websocket_protocol:BoundedWebSocketProtocol" if find_spec("websockets") else "none"
)
_RELEASE = version("chassis")  # all packages of a release have the same version
type ProtocolFactory = Callable[..., asyncio.Protocol]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocols:
    """The protocols of the public port's connections.

    Attributes:
        http: the HTTP/1.1 protocol, whose limits apply to the port. A process that faces clients
            uses BoundedProtocol.
        websocket: the WebSocket protocol, after the handshake's head; None is the chassis' own.
        common_fields: returns the header fields that every response carries.
    """

    http: type[BoundedProtocol] = InsideProtocol
    websocket: ProtocolFactory | None = None
    common_fields: CommonFields = no_fields


_DEFAULT = Protocols()
# A client that sends a request while its idle connection is closed gets no response, and can't know
# whether it took effect. A client with many connections uses them in turn, each every few seconds.
_QUIET_SECONDS = 1.0
_LONGEST_DRAIN_SECONDS = 5.0
_DRAIN_STEP_SECONDS = 0.05


class Process:
    """The name, health, metrics and long-lived tasks of a process.

    Args:
        name: the name that operators see: ``orders``, ``orders-worker``.
        settings: the settings of the process.
    """

    def __init__(self, *, name: str, settings: ProcessSettings) -> None:
        self.name = name
        self.settings = settings
        self.health = Health()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        release = Gauge(
            "process_release",
            "1, with the version of the release.",
            ["version"],
            registry=self.registry,
        )
        release.labels(_RELEASE).set(1)
        self._loop_delay = LoopDelay(self.registry)
        register_certificates(certificate_files(settings), self.registry)
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._group: GuardedTaskGroup | None = None

    @contextlib.asynccontextmanager
    async def running[T](self, opening: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """Open the process's resources, and run the long-lived tasks that use them.

        After the block it cancels all tasks, waits for them, and then closes the resources. A task
        that fails is logged, recorded in ``failure``, and stops the process.

        Args:
            opening: opens the resources; it may start tasks. If it fails, the tasks are cancelled.
        """
        async with GuardedTaskGroup() as self._group:
            self.start(self._loop_delay.measure(), name="loop delay")
            async with opening as opened:
                try:
                    yield opened
                finally:
                    await self._end_tasks()

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run `work` for as long as the process lives; must be inside ``running()``."""
        if self._group is None:
            work.close()
            message = f"The task {name!r} was started outside Process.running(). Enter that first."
            raise RuntimeError(message)
        task = self._group.create_task(self._guard(work, name), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # A task that is cancelled before its first step never awaits its coroutine.
        task.add_done_callback(lambda _: work.close())

    async def _end_tasks(self) -> None:
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def _guard(self, work: Coroutine[Any, Any, None], name: str) -> None:
        try:
            await guarded(work)
        except Exception as error:
            log.exception("long-lived task failed", task=name)
            self.failure = error
            self.health.fail(f"task {name} failed")
            self.stopping.set()

    def internal_routes(self) -> list[Route]:
        """Return the routes of probes, metrics and the log level, for the internal port."""

        async def metrics(request: Request) -> Response:
            # OpenMetrics for a scraper that accepts it: only that format has exemplars.
            encode, media_type = choose_encoder(", ".join(request.headers.getlist("accept")))
            return Response(encode(self.registry), media_type=media_type)

        return [*health_routes(self.health), *level_routes(), Route("/metrics", metrics)]


class _Server(uvicorn.Server):
    """A server that leaves signals to the process, because two servers share one loop."""

    def __init__(
        self, config: uvicorn.Config, listener: type[BoundedProtocol] | None = None
    ) -> None:
        super().__init__(config)
        self._listener = listener

    def drain(self) -> None:
        """Close each connection after its next response."""
        if self._listener is not None:
            self._listener.draining = True
        for connection in self.open():
            connection.drain()

    def open(self) -> set[BoundedProtocol]:
        """Return the connections that are open; uvicorn does not signal the end of one."""
        connections = self.server_state.connections
        return {one for one in connections if isinstance(one, BoundedProtocol)}

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def until_unused(
    connections: Callable[[], Collection[object]], *, step_seconds: float = _DRAIN_STEP_SECONDS
) -> None:
    """Wait until draining connections have ended, or none of them does so any more.

    It waits for 1 s after the last one that ended, and for 5 s in all. A client that is idle for as
    long is the only one whose request can meet the end of its connection.

    Args:
        connections: returns those that are open.
        step_seconds: the time between two looks. Steps are counted, not seconds, which could pass
            while the process gets no CPU time: a connection would be closed before the request is
            read that arrived meanwhile.
    """
    quiet, seen = 0, set(connections())
    for _ in range(round(_LONGEST_DRAIN_SECONDS / _DRAIN_STEP_SECONDS)):
        if not seen or quiet >= round(_QUIET_SECONDS / _DRAIN_STEP_SECONDS):
            return
        await asyncio.sleep(step_seconds)
        now = set(connections())
        quiet = 0 if seen - now else quiet + 1
        seen = now


def _server(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    lifespan: str,
    timeout: int,
    protocols: Protocols = _DEFAULT,
    max_connections: int = MAX_CONNECTIONS,
) -> _Server:
    listener = type("Listener", (protocols.http,), {"bound": ConnectionBound(max_connections)})
    return _Server(
        uvicorn.Config(
            app,
            host=bind_host(host),
            port=port,
            lifespan=lifespan,  # type: ignore[arg-type]  # a Literal that uvicorn keeps to itself
            loop="none",
            http=partial(listener, common_fields=protocols.common_fields),  # type: ignore[arg-type]  # uvicorn calls it, class or not
            ws=protocols.websocket or _WEBSOCKETS,  # type: ignore[arg-type]  # likewise
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=timeout,
            ws_max_size=64 * 1024,
            ws_per_message_deflate=False,  # it would hold some 40 KB for each socket
        ),
        listener,
    )


async def _serve(
    process: Process, public: ASGIApp | None, internal: Starlette, protocols: Protocols
) -> None:
    settings = process.settings
    internal_server = _server(
        internal,
        host=settings.internal_host,
        port=settings.internal_port,
        lifespan="off" if public is not None else "on",
        timeout=settings.shutdown_timeout,
    )
    servers = [internal_server]
    if public is not None:
        public_server = _server(
            public,
            host=settings.host,
            port=settings.port,
            lifespan="on",
            timeout=settings.shutdown_timeout,
            protocols=protocols,
            max_connections=settings.max_connections,
        )
        servers.insert(0, public_server)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stopping.set)
    async with GuardedTaskGroup() as group:
        running = [group.create_task(server.serve()) for server in servers]
        stop = group.create_task(process.stopping.wait())
        await asyncio.wait([stop, *running], return_when=asyncio.FIRST_COMPLETED)
        process.health.drain()
        log.info("process stopping", failed=process.failure is not None)
        stop.cancel()
        for server, task in zip(servers, running, strict=True):
            if server.started:
                server.drain()
                if server is not internal_server:
                    await until_unused(server.open)
            server.should_exit = True
            if not server.started:
                task.cancel()  # its start-up may wait for a system that stays unavailable
            await asyncio.wait([task])


def run_api(process: Process, app: ASGIApp, protocols: Protocols = _DEFAULT) -> None:
    """Serve `app` on the public port, and probes and metrics on the internal one.

    Args:
        process: the process that owns the ports.
        app: the app of the public port.
        protocols: the protocols of the public port's connections.
    """
    internal = Starlette(routes=process.internal_routes())
    _run(process, public=app, internal=internal, protocols=protocols)


def run_worker(process: Process, worker: Starlette) -> None:
    """Serve `worker`, whose lifespan does its work, on the internal port."""
    _run(process, public=None, internal=worker, protocols=_DEFAULT)


def _run(
    process: Process,
    *,
    public: ASGIApp | None,
    internal: Starlette,
    protocols: Protocols = _DEFAULT,
) -> None:
    """Serve until SIGTERM, SIGINT or the failure of a long-lived task; exit 1 after a failure."""
    settings = process.settings
    os.environ.update(loopback_exempted(os.environ))  # the exporters use proxies
    configure_logging(
        process=process.name, level=settings.log_level, log_format=settings.log_format
    )
    resource = resource_of(process.name, port=settings.internal_port)
    configure_tracing(
        resource=resource,
        endpoint=settings.otel_exporter_otlp_endpoint,
        sample=settings.otel_traces_sampler_arg,
        registry=process.registry,
    )
    pushed = _pushed_metrics(process, resource)
    log.info("process starting", log_level=settings.log_level)
    descriptors = raise_descriptor_limit()
    if descriptors < settings.max_connections:
        log.warning(
            "descriptor limit below MAX_CONNECTIONS",
            limit=descriptors,
            max_connections=settings.max_connections,
        )
    # What was imported stays until the end. A full collection would visit its 180,000 objects each
    # time, and hold the event loop up for 0.1 s.
    gc.collect()
    gc.freeze()
    gc.enable()  # `chassis.run` disables it for the time of the imports
    with pushed, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(process, public, internal, protocols))
    if process.failure is not None:
        sys.exit(1)


def _pushed_metrics(process: Process, resource: Resource) -> AbstractContextManager[None]:
    """Return the context in which the metrics are pushed, if a setting says where."""
    settings = process.settings
    if settings.otel_exporter_otlp_metrics_endpoint is None:
        return contextlib.nullcontext()
    # Its imports take 66 ms of CPU, which a process that does not push saves at its start.
    from chassis.telemetry.pushing import pushed_metrics  # noqa: PLC0415 - see above

    return pushed_metrics(
        endpoint=settings.otel_exporter_otlp_metrics_endpoint,
        interval=settings.otel_metric_export_interval / 1000,
        registry=process.registry,
        resource=resource,
    )
