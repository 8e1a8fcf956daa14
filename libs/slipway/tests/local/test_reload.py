"""A changed source restarts its processes. A change that breaks them waits for the next change."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from localservers.ports import free_port
from slipway.local.program import Program, ProgramSpec
from slipway.local.reload import Reloader, few, reloading
from slipway.local.sources import Sources
from slipway.local.supervisor import RestartPolicy, Supervisor, supervising
from slipway.state import StateDirectory

SERVER = """
import http.server, os
class Ready(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Ready).serve_forever()
"""
NEVER_READY = "import time\ntime.sleep(600)\n"
# It responds first, so that it counts as ready.
DIES_WHEN_READY = SERVER.replace(
    "self.end_headers()",
    "self.end_headers(); threading.Timer(1, lambda: os._exit(3)).start()",
).replace("import http.server, os", "import http.server, os, threading")
LIMIT = 30  # seconds; under load, Python processes start slowly
QUICK = RestartPolicy(backoff=0.01, window=300.0)
NAMES = ("orders", "orders-worker", "users")


class Terminal:
    """Records the output in order, and can wait for the next line."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, text: str) -> None:
        self.texts.append(text)
        self._news.set()

    async def until(self, part: str, *, count: int = 1) -> str:
        async with asyncio.timeout(LIMIT):
            while True:
                found = [text for text in self.texts if part in text]
                if len(found) >= count:
                    return found[count - 1]
                self._news.clear()
                await self._news.wait()


class Tree:
    """A repository with two services and a library, and a process for each of three names."""

    def __init__(self, root: Path, say: Callable[[str], None]) -> None:
        self.root = root
        for place in ("services/orders", "services/users", "libs/mechanism", "libs/slipway"):
            (root / place / "src").mkdir(parents=True)
        for name in NAMES:
            self.source(name).write_text(SERVER)
        state = StateDirectory(root / "state")
        state.make()
        self.programs = {name: Program(self._spec(name), state=state, say=say) for name in NAMES}
        self.sources = Sources(
            directories={
                (root / "services/orders/src").resolve(): "orders",
                (root / "services/users/src").resolve(): "users",
                (root / "libs/mechanism/src").resolve(): "mechanism",
                (root / "libs/slipway/src").resolve(): "slipway",
            },
            processes={
                "orders": ("orders", "orders-worker"),
                "users": ("users",),
                "mechanism": NAMES,
                "slipway": (),
            },
        )

    def source(self, name: str) -> Path:
        return self.root / "services" / name.partition("-")[0] / "src" / f"{name}.py"

    @property
    def pids(self) -> dict[str, int | None]:
        return {name: program.pid for name, program in self.programs.items()}

    def _spec(self, name: str) -> ProgramSpec:
        port = free_port()
        return ProgramSpec(
            name=name,
            command=(sys.executable, "-u", str(self.source(name))),
            environment={**os.environ, "PORT": str(port)},
            directory=self.root,
            ready_url=f"http://127.0.0.1:{port}/",
        )


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def tree(tmp_path: Path, terminal: Terminal) -> Tree:
    return Tree(tmp_path, terminal)


Running = Callable[[], AbstractAsyncContextManager[asyncio.Event]]


@pytest.fixture
def running(tree: Tree, terminal: Terminal) -> Running:
    """Supervise and reload; yield the event that allows restarts to begin."""

    async def changed() -> None:
        terminal("changed")

    @asynccontextmanager
    async def run() -> AsyncIterator[asyncio.Event]:
        may_restart = asyncio.Event()

        def reloader(supervisor: Supervisor) -> Reloader:
            return Reloader(
                sources=tree.sources,
                units=tree.programs,
                supervisor=supervisor,
                may_restart=may_restart,
                say=terminal,
            )

        async with (
            supervising(say=terminal, changed=changed, policy=QUICK) as supervisor,
            reloading(reloader(supervisor)),
        ):
            for program in tree.programs.values():
                await supervisor.start(program, tier=0, held=True)
            yield may_restart

    return run


async def test_only_the_processes_of_the_changed_package_restart_one_after_the_other(
    tree: Tree, terminal: Terminal, running: Running
) -> None:
    async with running() as may_restart:
        may_restart.set()
        first = tree.pids
        change(tree.source("orders"), SERVER)
        await terminal.until("orders-worker is ready again")
        second = tree.pids
    assert second["users"] == first["users"]
    assert {second["orders"], second["orders-worker"]}.isdisjoint(first.values())
    events = [text.partition(",")[0] for text in terminal.texts if text != "changed"]
    assert events[-3:] == [
        "orders changed (orders.py): restarting orders",
        "orders is ready again",
        "orders-worker is ready again",
    ]
    assert not [text for text in terminal.texts if "ended with" in text]
    assert set(tree.pids.values()) == {None}


async def test_a_library_restarts_all_that_run_it(
    tree: Tree, terminal: Terminal, running: Running
) -> None:
    async with running() as may_restart:
        may_restart.set()
        first = set(tree.pids.values())
        change(tree.root / "libs/mechanism/src/engine.py", "")
        await terminal.until("users is ready again")
        assert first.isdisjoint(tree.pids.values())


async def test_one_that_a_change_breaks_is_named_and_waits_for_the_next_change(
    tree: Tree, terminal: Terminal, running: Running
) -> None:
    async with running() as may_restart:
        may_restart.set()
        users = tree.pids["users"]
        change(tree.source("orders"), "def broken(:\n")
        text = await terminal.until("orders waits for the next change of its source")
        assert text.startswith("orders ended before it was ready, with exit status 1")
        assert "SyntaxError" in text
        await terminal.until("orders-worker is ready again")
        assert tree.pids["orders"] is None
        change(tree.source("orders"), SERVER)
        await terminal.until("orders is ready again")
        assert tree.pids["orders"] is not None
        assert tree.pids["users"] == users


async def test_one_that_dies_soon_after_a_change_does_not_stop_the_system(
    tree: Tree, terminal: Terminal, running: Running
) -> None:
    async with running() as may_restart:
        may_restart.set()
        change(tree.source("users"), DIES_WHEN_READY)
        text = await terminal.until("users waits for the next change of its source")
        assert text.startswith("users failed 3 starts in a row within 300 s. The last: ")
        assert "the system stops" not in text
        change(tree.source("users"), SERVER)
        await terminal.until("users is ready again", count=3)
        await terminal.until("users changed", count=2)
        assert tree.pids["orders"] is not None


async def test_a_change_of_one_that_is_not_getting_ready_is_not_kept_waiting(
    tree: Tree, terminal: Terminal, running: Running
) -> None:
    async with running() as may_restart:
        may_restart.set()
        first = tree.pids["users"]
        change(tree.source("users"), NEVER_READY)
        await until(lambda: tree.pids["users"] not in {None, first})
        change(tree.source("users"), SERVER)
        await terminal.until("users is ready again")
    assert not [text for text in terminal.texts if "not ready within" in text]


async def test_a_change_during_the_start_is_not_lost(
    tree: Tree, terminal: Terminal, running: Running
) -> None:
    async with running() as may_restart:
        first = tree.pids["users"]
        change(tree.source("users"), SERVER)
        await terminal.until("users changed (users.py): restarting users")
        assert tree.pids["users"] == first
        may_restart.set()
        await terminal.until("users is ready again")
        assert tree.pids["users"] != first


async def test_slipway_says_that_it_does_not_reload_itself(
    tree: Tree, terminal: Terminal, running: Running
) -> None:
    async with running() as may_restart:
        may_restart.set()
        first = tree.pids
        change(tree.root / "libs/slipway/src/cli.py", "")
        text = await terminal.until("slipway changed")
        assert text.startswith("slipway changed (cli.py): slipway itself is not reloaded. ")
        assert tree.pids == first


def test_of_many_files_the_first_are_named() -> None:
    assert few(["a", "b", "c"]) == "a, b, c"
    assert few(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def change(file: Path, text: str) -> None:
    """Change a file as an editor does: write a new file, then rename it."""
    new = file.with_name(f"{file.name}~")
    new.write_text(text)
    new.replace(file)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while True:
            if holds():
                return
            await asyncio.sleep(0.02)
