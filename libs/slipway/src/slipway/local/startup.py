"""The order of the start: each part as early as possible, to keep two cores busy."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from contracts import TOPICS
from localservers import LocalServer
from localservers.kafka import resolve_jars
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.local.logtail import tail
from slipway.local.migration import is_current
from slipway.local.processes import PROCESSES, Need, Row
from slipway.local.program import Program, describe
from slipway.local.servers import Servers
from slipway.local.supervisor import Supervisor
from slipway.operate.database import Database
from slipway.operate.topics import Topics
from slipway.settings import SlipwaySettings

_ATTEMPTS = 3
_SERVER_TIER = 0
_TRACES_TIER = 1


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What one system is made of.

    Attributes:
        settings: ports and addresses.
        root: the top of the repository.
        servers: the local ones.
        database: local or external.
        migration: a program that ends when all services are migrated.
        traces: the trace sink.
        programs: the processes, by name.
    """

    settings: SlipwaySettings
    root: Path
    servers: Servers
    database: Database
    migration: Program
    traces: Program
    programs: dict[str, Program]


class Startup:
    """Starts the parts of one system under a supervisor.

    Args:
        parts: what to start.
        reporter: shows progress.
        supervisor: keeps them running.
        reload: whether a process that can't be kept running waits for a change of its source.
    """

    def __init__(
        self, *, parts: Parts, reporter: Reporter, supervisor: Supervisor, reload: bool
    ) -> None:
        self._parts = parts
        self._reporter = reporter
        self._supervisor = supervisor
        self._reload = reload

    async def run(self) -> None:
        """Start every part and return once all are ready; the first failure cancels the others."""
        async with asyncio.TaskGroup() as group:
            ready = {
                Need.DATABASE: group.create_task(self._prepare_database()),
                Need.BROKER: group.create_task(self._prepare_broker()),
                Need.VALKEY: group.create_task(self._server(self._parts.servers.valkey)),
            }
            group.create_task(self._server(self._parts.servers.mail))
            group.create_task(self._program(self._parts.traces, tier=_TRACES_TIER))
            for row in PROCESSES:
                group.create_task(self._launch(row, [ready[need] for need in row.needs]))

    async def _prepare_database(self) -> None:
        if self._parts.servers.postgres is not None:
            await self._server(self._parts.servers.postgres)
        await self._parts.database.prepare()
        if not await is_current(self._parts.root, self._parts.database):
            with self._reporter.step("migrations"):
                await run_to_end(self._parts.migration)

    async def _prepare_broker(self) -> None:
        kafka = self._parts.servers.kafka
        if kafka is not None:
            with self._reporter.step("Kafka's jars (from Maven Central the first time)"):
                await asyncio.to_thread(resolve_jars)
            await self._server(kafka)
        await Topics.of(self._parts.settings, TOPICS).apply()

    async def _server(self, server: LocalServer) -> None:
        with self._reporter.step(f"{server.name}, port {server.port}"):
            await self._supervisor.start(server, tier=_SERVER_TIER)

    async def _launch(self, row: Row, after: list[asyncio.Task[None]]) -> None:
        await asyncio.wait(after)
        program = self._parts.programs[row.name]
        await self._program(program, tier=row.tier, held=self._reload)

    async def _program(self, program: Program, *, tier: int, held: bool = False) -> None:
        with self._reporter.step(f"{program.name}, {program.spec.address}"):
            await self._supervisor.start(program, tier=tier, attempts=_ATTEMPTS, held=held)


async def run_to_end(program: Program) -> None:
    """Run a program that does one thing; SlipwayError carries its last lines if it fails."""
    try:
        await program.start()
        status = await program.wait()
    finally:
        await program.stop()
    if status != 0:
        message = (
            f"{program.name} failed with {describe(status)}. Its log, {program.log_file}, ends:\n"
            f"{tail(program.log_file)}"
        )
        raise SlipwayError(message)
