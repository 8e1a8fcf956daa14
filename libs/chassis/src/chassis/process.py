"""One process: its long-lived tasks, its two listeners, and how it starts and ends.

An API process serves its public app and, on the internal port, probes and metrics. A worker serves
the internal port alone; its tasks run inside that app's lifespan.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Generator
from typing import Any

import structlog
import uvicorn
import uvloop
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from chassis.health import Health, health_routes
from chassis.protocol import BoundedProtocol
from chassis.settings import ProcessSettings
from chassis.telemetry import configure_logging, configure_tracing

log = structlog.get_logger(__name__)


class Process:
    """What a process has once: a name, health, metrics, and tasks that live as long as it does.

    Args:
        name: as operators see it: ``orders``, ``orders-worker``.
        settings: of the process.
    """

    def __init__(self, *, name: str, settings: ProcessSettings) -> None:
        self.name = name
        self.settings = settings
        self.health = Health()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None

    @contextlib.asynccontextmanager
    async def tasks(self) -> AsyncIterator[None]:
        """Hold the TaskGroup of the long-lived tasks; leaving cancels them and waits for them.

        A task that fails is logged, remembered in ``failure``, and stops the process.
        """
        async with asyncio.TaskGroup() as self._group:
            try:
                yield
            finally:
                for task in self._running:
                    task.cancel()

    @contextlib.asynccontextmanager
    async def ending_tasks(self) -> AsyncIterator[None]:
        """Cancel the tasks when left, and wait for them: before what they use is closed."""
        try:
            yield
        finally:
            running = list(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run `work` for as long as the process lives; must be inside ``tasks()``."""
        if self._group is None:
            work.close()
            message = f"task {name!r} was started outside Process.tasks(): open it first"
            raise RuntimeError(message)
        task = self._group.create_task(self._guard(work, name), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # One that is cancelled before its first step would never be awaited.
        task.add_done_callback(lambda _: work.close())

    async def end_tasks(self) -> None:
        """Cancel the long-lived tasks and wait for them: before what they use is closed."""
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def _guard(self, work: Coroutine[Any, Any, None], name: str) -> None:
        try:
            await work
        except Exception as error:
            log.exception("long-lived task failed: the process ends", task=name)
            self.failure = error
            self.health.fail(f"task {name} failed")
            self.stopping.set()

    def internal_routes(self) -> list[Route]:
        """Probes and metrics, for the internal port."""

        async def metrics(_: Request) -> Response:
            return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

        return [*health_routes(self.health), Route("/metrics", metrics)]


class _Server(uvicorn.Server):
    """A server that leaves signals to the process: two of them share one loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _server(app: ASGIApp, *, host: str, port: int, lifespan: str, timeout: int) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            lifespan=lifespan,  # type: ignore[arg-type]  # a Literal that uvicorn keeps to itself
            loop="none",
            http=BoundedProtocol,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=timeout,
            ws_max_size=64 * 1024,
            ws_per_message_deflate=False,  # it would hold some 40 KB for each socket
        )
    )


async def _serve(process: Process, public: ASGIApp | None, internal: Starlette) -> None:
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
        )
        servers.insert(0, public_server)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stopping.set)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(server.serve()) for server in servers]
        stop = group.create_task(process.stopping.wait())
        await asyncio.wait([stop, *running], return_when=asyncio.FIRST_COMPLETED)
        process.health.drain()
        stop.cancel()
        for server, task in zip(servers, running, strict=True):
            server.should_exit = True
            if not server.started:
                task.cancel()  # its start-up may be waiting for something that never comes
            await asyncio.wait([task])


def run_api(process: Process, app: ASGIApp) -> None:
    """Serve `app` on the public port, and probes and metrics on the internal one."""
    _run(process, public=app, internal=Starlette(routes=process.internal_routes()))


def run_worker(process: Process, worker: Starlette) -> None:
    """Serve `worker`, whose lifespan does its work, on the internal port."""
    _run(process, public=None, internal=worker)


def _run(process: Process, *, public: ASGIApp | None, internal: Starlette) -> None:
    """Serve until SIGTERM, SIGINT or the failure of a long-lived task; exit 1 after a failure."""
    settings = process.settings
    configure_logging(
        process=process.name, level=settings.log_level, log_format=settings.log_format
    )
    configure_tracing(
        process=process.name,
        endpoint=settings.otel_exporter_otlp_endpoint,
        sample=settings.otel_traces_sampler_arg,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(process, public, internal))
    if process.failure is not None:
        sys.exit(1)
