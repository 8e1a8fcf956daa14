"""The whole system on one machine: its parts, put together, started and stopped.

`slipway up` runs it in the foreground; end-to-end tests run one in a separate directory.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from signal import SIGKILL

import psutil

from slipway.console import Reporter
from slipway.local.forks import Template
from slipway.local.migration import migration_spec
from slipway.local.ports import refuse_taken_ports, with_free_ports
from slipway.local.processes import PROCESSES, Surroundings
from slipway.local.program import Program, end_leftovers
from slipway.local.reload import Reloader, reloading
from slipway.local.servers import Servers
from slipway.local.sources import Sources
from slipway.local.startup import Parts, Startup
from slipway.local.supervisor import Supervisor, supervising
from slipway.operate.database import Database
from slipway.operate.keys import make_keys
from slipway.operate.seed import seed
from slipway.services import role_names
from slipway.settings import SlipwaySettings
from slipway.state import SUPERUSER, Entry, Record, StateDirectory, find_root


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a system is made from.

    Attributes:
        settings: ports and addresses.
        root: the top of the repository.
        postgres_url: of an external Postgres, as a superuser; None starts a local one.
        role_password: of all roles; None creates one for each role in this state directory.
        database: its name.
        env_file: settings that the processes read in addition to their environment.
        reload: whether a change of source restarts the processes that run it.
        environment: settings of all processes, in addition to those that they get here.
        interpreters: for processes by name, what runs them in place of this Python, e.g. a
            profiler; `-m` and the module follow.
        template: is forked for the first start of each process; None runs an interpreter for each.
    """

    settings: SlipwaySettings
    root: Path
    postgres_url: str | None = None
    role_password: str | None = None
    database: str = "slipway"
    env_file: str = ".env"
    reload: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    interpreters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    template: Template | None = None

    @property
    def state(self) -> StateDirectory:
        """Return the directory of data, keys and logs."""
        return StateDirectory(self.root / self.settings.slipway_state_dir)


class System:
    """One system; `run_system` and `running_system` make and start it.

    Args:
        plan: what to make it from.
        state: its directory, locked.
        reporter: shows progress.
    """

    def __init__(self, plan: Plan, *, state: StateDirectory, reporter: Reporter) -> None:
        self.settings = plan.settings
        self.state = state
        self.may_restart = asyncio.Event()
        self._plan = plan
        self._reporter = reporter
        passwords = state.passwords((SUPERUSER, *role_names()))
        if plan.role_password is not None:
            passwords |= dict.fromkeys(role_names(), plan.role_password)
        self.servers = Servers(
            settings=plan.settings,
            state=state,
            superuser_password=passwords[SUPERUSER],
            local_postgres=plan.postgres_url is None,
        )
        self._parts = self._assemble(plan, passwords)
        self._writing = asyncio.Lock()
        self._ready_at: datetime | None = None

    def _assemble(self, plan: Plan, passwords: Mapping[str, str]) -> Parts:
        postgres = self.servers.postgres
        local_url = None if postgres is None else postgres.url(password=passwords[SUPERUSER])
        database = Database(
            superuser_url=local_url or plan.postgres_url or "",
            name=plan.database,
            passwords=passwords,
        )
        surroundings = Surroundings(
            settings=plan.settings,
            root=plan.root,
            env_file=plan.env_file,
            database=database,
            keys=make_keys(self.state),
            environment=plan.environment,
            interpreters=plan.interpreters,
        )
        make = partial(Program, state=self.state, say=self._reporter.say, template=plan.template)
        return Parts(
            settings=plan.settings,
            root=plan.root,
            servers=self.servers,
            database=database,
            migration=make(migration_spec(plan.root, database)),
            traces=make(surroundings.traces()),
            programs={row.name: make(surroundings.spec(row)) for row in PROCESSES},
        )

    @property
    def gateway_url(self) -> str:
        """Return the address of the API."""
        return self.settings.gateway_url

    @property
    def traces_url(self) -> str:
        """Return the address of the trace sink."""
        return self.settings.traces_url

    def process(self, name: str) -> Program:
        """Return a process by its name in the table, e.g. `orders-worker`."""
        return self._parts.programs[name]

    async def start(self, supervisor: Supervisor) -> None:
        """Start everything; return once all of it is ready."""
        startup = Startup(
            parts=self._parts,
            reporter=self._reporter,
            supervisor=supervisor,
            reload=self._plan.reload,
        )
        await startup.run()

    async def mark_ready(self) -> None:
        """Note in the record that the start has ended."""
        self._ready_at = datetime.now(UTC)
        await self.write_record()

    @asynccontextmanager
    async def reloading(self, supervisor: Supervisor) -> AsyncIterator[None]:
        """Restart processes when their source changes while the block runs, if the plan says so.

        Restarts wait until `may_restart` is set.
        """
        if not self._plan.reload:
            yield
            return
        reloader = Reloader(
            sources=await asyncio.to_thread(Sources.find, self._plan.root, PROCESSES),
            units=self._parts.programs,
            supervisor=supervisor,
            may_restart=self.may_restart,
            say=self._reporter.say,
        )
        async with reloading(reloader):
            yield

    async def write_record(self) -> None:
        """Record in the state directory what runs now.

        A full disk does not end what runs: only `slipway status` shows what ran before.
        """
        async with self._writing:
            try:
                await asyncio.to_thread(self.state.write, self._record())
            except OSError as error:
                self._reporter.say(f"What runs can't be recorded in {self.state.path}: {error}")

    def kill(self) -> None:
        """Send SIGKILL to everything, for a user who won't wait for a clean stop."""
        parts = self._parts
        for program in (*parts.programs.values(), parts.traces, parts.migration):
            program.kill()
        for server in self.servers.all():
            if server.pid is not None:
                with suppress(ProcessLookupError):
                    os.killpg(server.pid, SIGKILL)

    def _record(self) -> Record:
        programs = (*self._parts.programs.values(), self._parts.traces)
        return Record(
            pid=os.getpid(),
            create_time=psutil.Process().create_time(),
            gateway_url=self.gateway_url,
            traces_url=self.traces_url,
            ready_at=self._ready_at,
            processes=tuple(
                Entry(
                    name=program.name,
                    pid=program.pid,
                    address=program.spec.address,
                    ready_url=program.spec.ready_url,
                )
                for program in programs
            ),
            servers=self.servers.entries(),
        )


@asynccontextmanager
async def run_system(
    plan: Plan,
    *,
    reporter: Reporter,
    made: Callable[[System], None] = lambda _: None,
    seeded: bool = True,
) -> AsyncIterator[System]:
    """Start a system, yield it once all of it is ready, and stop it in order on exit.

    Args:
        plan: what to make it from.
        reporter: shows progress.
        made: called with the system before it is started.
        seeded: whether demo accounts and products are added before it is ready.

    Raises:
        AlreadyRunningError: one runs in this state directory.
        SlipwayError, localservers.ServerError: a part can't be started, or not be kept
            running; these come in an exception group.
    """
    state = plan.state
    with state.lock():
        system = await asyncio.to_thread(System, plan, state=state, reporter=reporter)
        made(system)
        await end_leftovers(state, reporter.say)
        await asyncio.to_thread(system.servers.end_leftovers)
        await asyncio.to_thread(
            refuse_taken_ports, plan.settings, own_postgres=plan.postgres_url is not None
        )
        try:
            async with (
                supervising(say=reporter.say, changed=system.write_record) as supervisor,
                system.reloading(supervisor),
            ):
                await system.start(supervisor)
                if seeded:
                    await seed(system.gateway_url, plan.settings, reporter)
                await system.mark_ready()
                yield system
        finally:
            state.clear()


@asynccontextmanager
async def running_system(
    directory: Path,
    *,
    postgres_url: str | None = None,
    role_password: str | None = None,
    kafka_bootstrap_servers: str | None = None,
    reporter: Reporter | None = None,
    seeded: bool = True,
) -> AsyncIterator[System]:
    """Run a separate system on free ports, independent of the developer's.

    Args:
        directory: its state directory.
        postgres_url: a Postgres to use, as a superuser; the database gets a unique name.
        role_password: of all services' roles there, which are shared by the whole server.
        kafka_bootstrap_servers: a Kafka to use; topics and groups get a unique prefix.
        reporter: shows progress; None shows nothing.
        seeded: whether to create demo accounts and products.
    """
    plan = await asyncio.to_thread(
        _plan_in,
        directory,
        postgres_url=postgres_url,
        role_password=role_password,
        kafka=kafka_bootstrap_servers,
    )
    quiet = reporter or Reporter.silent()
    async with run_system(plan, reporter=quiet, seeded=seeded) as system:
        yield system


def _plan_in(
    directory: Path, *, postgres_url: str | None, role_password: str | None, kafka: str | None
) -> Plan:
    place = directory.absolute()
    own = f"s{sha256(str(place).encode()).hexdigest()[:12]}"
    settings = SlipwaySettings(
        slipway_state_dir=place,
        kafka_bootstrap_servers=kafka,
        kafka_topic_prefix="" if kafka is None else f"{own}.",
        slipway_limits="off",
    )
    return Plan(
        settings=with_free_ports(settings),
        root=find_root(Path.cwd()),
        postgres_url=postgres_url,
        role_password=role_password,
        database="slipway" if postgres_url is None else f"slipway_{own}",
        env_file=os.devnull,
    )
