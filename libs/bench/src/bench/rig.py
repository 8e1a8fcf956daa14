"""The rig of one row: separate servers and processes, on free ports, without a supervisor.

If a process dies, the measurement fails; a restart would only hide the death.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL
from uuid import UUID

from bench.builds import Build
from bench.load import on_core
from chassis.auth import SessionGrant, TokenSigner
from chassis.auth.keys import read_key_set
from chassis.auth.signing import SigningKey
from chassis.database import new_id
from localservers import LocalServer, ValkeyServer
from slipway.console import Reporter
from slipway.local.ports import with_free_ports
from slipway.local.processes import PROCESSES, Surroundings
from slipway.local.program import Program, ProgramSpec, end_leftovers, inherited_environment
from slipway.operate.database import Database
from slipway.operate.keys import KeyFiles, make_keys
from slipway.settings import HOST, SlipwaySettings
from slipway.state import StateDirectory

SAMPLED = "0.1"
AUDIENCE = "slipway"
_LIFETIME = timedelta(seconds=3000)  # the longest that verifiers can be set to accept


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user with an access token."""

    id: UUID
    token: str


class Rig:
    """Starts things for one row; all of them stop when `open_rig` is left.

    Args:
        state: holds data, logs and keys.
        build: whose processes run.
        settings: free ports.
        keys: of access tokens.
        reporter: shows progress.
        stack: ends what was started.
    """

    def __init__(
        self,
        *,
        state: StateDirectory,
        build: Build,
        settings: SlipwaySettings,
        keys: KeyFiles,
        reporter: Reporter,
        stack: AsyncExitStack,
    ) -> None:
        self.state = state
        self.build = build
        self.settings = settings
        self.reporter = reporter
        self._keys = keys
        self._stack = stack
        self._programs: list[Program] = []
        self._servers: list[LocalServer] = []
        self._beside: list[Rig] = []

    @property
    def root(self) -> Path:
        """Return the top of the build's tree."""
        return self.build.root

    async def beside(self, build: Build) -> "Rig":
        """Return another empty rig, for another build; both stop together."""
        directory = self.state.path / f"rig-{len(self._beside) + 2}"
        other = await self._stack.enter_async_context(open_rig(build, directory, self.reporter))
        self._beside.append(other)
        return other

    async def serve(self, server: LocalServer) -> None:
        """Start a server."""
        self._servers.append(server)
        self._stack.push_async_callback(server.stop)
        with self.reporter.step(f"{server.name}, port {server.port}"):
            await server.start()

    async def run(self, spec: ProgramSpec, *, core: int | None = None) -> Program:
        """Start a program, pinned to `core` if it is given."""
        pinned = replace(spec, command=(*on_core(core), *spec.command))
        program = Program(pinned, state=self.state, say=self.reporter.say)
        self._programs.append(program)
        self._stack.push_async_callback(program.stop)
        with self.reporter.step(f"{program.name}, {spec.address}"):
            await program.start()
        return program

    def process(self, name: str, database: Database, **environment: str) -> ProgramSpec:
        """Return how to run a process of the system, with limits and a tenth of traces sampled."""
        surroundings = Surroundings(
            settings=self.settings,
            root=self.build.root,
            env_file=os.devnull,
            database=database,
            keys=self._keys,
        )
        (row,) = [row for row in PROCESSES if row.name == name]
        spec = surroundings.spec(row)
        changed = {
            "OTEL_TRACES_SAMPLER_ARG": SAMPLED,
            "SLIPWAY_LIMITS": "on",
            "ACCESS_TOKEN_LIFETIME": str(int(_LIFETIME.total_seconds())),
            **environment,
        }
        return self.build.running(replace(spec, environment={**spec.environment, **changed}))

    def valkey(self) -> ValkeyServer:
        """Return a Valkey for the gateway's limits, on the port of the gateway's settings."""
        return ValkeyServer(directory=self.state.servers / "valkey", port=self.settings.valkey_port)

    def module(self, name: str, port: int, *arguments: str) -> ProgramSpec:
        """Return how to run a module of this package as a server; its port comes first."""
        address = f"http://{HOST}:{port}"
        return ProgramSpec(
            name=name,
            command=(sys.executable, "-m", f"bench.{name}", str(port), *arguments),
            environment=inherited_environment(),
            directory=self.root,
            address=address,
            ready_url=f"{address}/",
        )

    @property
    def jwks_file(self) -> Path:
        """Return the path of the public keys of access tokens."""
        return self._keys.public

    async def public_key(self) -> Path:
        """Write the public key of access tokens as PEM, and return its path."""
        key, *_ = (await asyncio.to_thread(read_key_set, self._keys.private)).values()
        return await self.write("public.pem", key.as_pem(private=False).decode())

    @property
    def issuer(self) -> str:
        """Return the issuer of access tokens."""
        return self.settings.gateway_url

    async def users(self, count: int, *scopes: str) -> list[User]:
        """Return users with access tokens of this rig's key; no service has their accounts."""
        return await asyncio.to_thread(self._users, count, scopes)

    def _users(self, count: int, scopes: tuple[str, ...]) -> list[User]:
        (kid, key), *_ = read_key_set(self._keys.private).items()
        signing = SigningKey(kid=kid, key=key)
        signer = TokenSigner(
            key=lambda: signing,
            issuer=self.issuer,
            audience=AUDIENCE,
            lifetime=_LIFETIME,
        )
        ids = [new_id() for _ in range(count)]
        return [
            User(
                id=one,
                token=signer.sign(
                    subject=one,
                    grant=SessionGrant(session_id=new_id()),
                    roles=["customer"],
                    scopes=scopes,
                ),
            )
            for one in ids
        ]

    async def write(self, name: str, text: str) -> Path:
        """Write a file for one of the programs."""
        path = self.state.path / name
        await asyncio.to_thread(path.write_text, text)
        return path

    def kill(self) -> None:
        """Send SIGKILL to everything, for a user who won't wait for a clean stop."""
        for program in self._programs:
            program.kill()
        for server in self._servers:
            if server.pid is not None:
                with suppress(ProcessLookupError):
                    os.killpg(server.pid, SIGKILL)
        for other in self._beside:
            other.kill()


@asynccontextmanager
async def open_rig(build: Build, directory: Path, reporter: Reporter) -> AsyncIterator[Rig]:
    """Make an empty rig, and stop all that was started on it when left.

    Args:
        build: whose processes run.
        directory: is emptied; afterwards only where nothing failed, for the logs' sake.
        reporter: shows progress.
    """
    state = StateDirectory(directory)
    with state.lock():
        await end_leftovers(state, reporter.say)
        await asyncio.to_thread(_empty, state)
        settings, keys = await asyncio.to_thread(_furnish, state)
        async with AsyncExitStack() as stack:
            yield Rig(
                state=state,
                build=build,
                settings=settings,
                keys=keys,
                reporter=reporter,
                stack=stack,
            )
        await asyncio.to_thread(_empty, state)


def _empty(state: StateDirectory) -> None:
    for path in (state.servers, state.logs, state.run, state.keys):
        shutil.rmtree(path, ignore_errors=True)
    state.make()


def _furnish(state: StateDirectory) -> tuple[SlipwaySettings, KeyFiles]:
    settings = SlipwaySettings(slipway_state_dir=state.path, kafka_bootstrap_servers=None)
    return with_free_ports(settings), make_keys(state)
