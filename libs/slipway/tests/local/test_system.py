"""A whole system, with real servers and small programs in place of the services' processes."""

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator

import pytest

from slipway.console import Reporter
from slipway.errors import AlreadyRunningError
from slipway.local.ports import with_free_ports
from slipway.local.status import read_status
from slipway.local.system import Plan, System, run_system
from slipway.settings import SlipwaySettings

PROCESS = """
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
class Ready(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
print("DATABASE_URL" in os.environ, flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["INTERNAL_PORT"])), Ready).serve_forever()
"""
METADATA = """
from sqlalchemy import MetaData


class Base:
    metadata = MetaData()
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    root = tmp_path_factory.mktemp("root")
    for service in ("gateway", "users", "orders", "notifications"):
        # The gateway is run as a package. For the services, `chassis.run` imports the declaration.
        package = root / "services" / service / "src" / service
        package.mkdir(parents=True)
        texts = {"__init__": "", "metadata": METADATA, "app": PROCESS, "declaration": PROCESS}
        texts["__main__"] = PROCESS
        for name, text in texts.items():
            (package / f"{name}.py").write_text(text)
        (root / "services" / service / "migrations").mkdir()
    settings = with_free_ports(SlipwaySettings(kafka_bootstrap_servers=None))
    return Plan(settings=settings, root=root, env_file=os.devnull, reload=True)


@pytest.fixture(scope="module")
async def system(plan: Plan) -> AsyncIterator[System]:
    with pytest.MonkeyPatch.context() as patch:
        sources = plan.root.glob("services/*/src")
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, sources)))
        patch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        patch.setenv("NO_PROXY", "corp.example")
        patch.delenv("no_proxy", raising=False)
        async with run_system(plan, reporter=Reporter.silent(), seeded=False) as system:
            system.may_restart.set()
            yield system
        left = [entry.pid for entry in system.servers.entries()]
    assert left == [None] * 4
    assert system.state.read() is None


async def test_the_whole_system_is_healthy(system: System) -> None:
    status = await read_status(system.state)
    assert status.healthy, status
    assert [row.name for row in status.servers] == ["postgres", "kafka", "valkey", "mail"]
    names = {row.name for row in status.processes}
    assert {"gateway", "orders", "orders-worker", "traces"} <= names
    assert system.gateway_url.endswith(str(system.settings.gateway_port))
    assert system.traces_url.endswith(str(system.settings.traces_port))


async def test_processes_are_handed_their_own_settings(system: System) -> None:
    assert system.process("gateway").log_file.read_text() == "False\n"
    assert system.process("orders-worker").log_file.read_text() == "True\n"
    users = system.process("users").spec.environment
    orders = system.process("orders").spec.environment
    assert "AUTH_SIGNING_KEYS_FILE" in users
    assert "AUTH_SIGNING_KEYS_FILE" not in orders
    assert "orders_runtime" in orders["DATABASE_URL"]


async def test_children_reach_this_machine_past_a_proxy(system: System) -> None:
    """Their spans go to a sink on this machine, through a client that obeys proxies."""
    parts = system._parts
    for program in (*parts.programs.values(), parts.traces, parts.migration):
        environment = program.spec.environment
        assert environment["HTTP_PROXY"] == "http://127.0.0.1:9"
        for name in ("NO_PROXY", "no_proxy"):
            assert environment[name] == "corp.example,localhost,127.0.0.1,::1", program.name


async def test_the_record_follows_a_restart(system: System) -> None:
    worker = system.process("orders-worker")
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert await until_pid_changes(system, "orders-worker", pid) == worker.pid


async def test_a_record_that_can_not_be_written_does_not_end_what_runs(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    told: list[str] = []
    monkeypatch.setattr(system.state, "write", full)
    monkeypatch.setattr(system._reporter, "say", told.append)
    await system.write_record()
    assert "No space left on device" in told[0]


async def test_a_change_of_source_restarts_the_processes_that_run_it(
    plan: Plan, system: System
) -> None:
    pids = {name: system.process(name).pid for name in ("users", "users-worker", "orders")}
    (plan.root / "services/users/src/users/new.py").touch()
    for name in ("users", "users-worker"):
        pid = pids[name]
        assert pid is not None
        await until_pid_changes(system, name, pid)
    assert system.process("orders").pid == pids["orders"]


async def test_a_second_system_names_the_first_in_its_error(plan: Plan, system: System) -> None:
    with pytest.raises(AlreadyRunningError, match=rf"pid {os.getpid()}, {system.gateway_url}"):
        async with run_system(plan, reporter=Reporter.silent()):
            pass


async def until_pid_changes(system: System, name: str, old: int) -> int:
    async with asyncio.timeout(120):
        while True:
            status = await read_status(system.state)
            (row,) = [row for row in status.processes if row.name == name]
            if row.pid not in {None, old} and row.health == "ok":
                return row.pid
            await asyncio.sleep(0.05)
