"""Rules for every server, tested with small programs that behave and misbehave."""

import asyncio
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from localservers import LocalServer, ServerError, kill_leftover
from localservers.base import leftover, pid_file, run_to_end, write_pid_file
from localservers.ports import free_port

LISTEN = """
import signal, socket, sys
{before}
server = socket.create_server(("127.0.0.1", {port}))
print("listening", flush=True)
signal.pause()
"""
# A process with much memory takes longer to end than its parent.
PARENT = """
import subprocess
child = subprocess.Popen(
    [sys.executable, "-c", "import time; b = bytearray(300 << 20); print(1, flush=True); "
     "time.sleep(600)"], stdout=subprocess.PIPE)
child.stdout.readline()
"""
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


class Program(LocalServer):
    name = "program"
    stop_seconds = 0.3

    def __init__(self, *, directory: Path, source: str, port: int, setting: str | None = None):
        super().__init__(directory=directory, port=port, port_setting=setting)
        self.source = source

    async def prepare(self) -> None:
        pass

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-c", self.source]

    async def answers(self) -> bool:
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.close()
        return True


def program(directory: Path, *, before: str = "") -> Program:
    port = free_port()
    source = LISTEN.format(before=before, port=port)
    return Program(directory=directory, source=source, port=port)


async def test_a_server_runs_in_a_session_of_its_own_and_is_remembered(tmp_path):
    server = program(tmp_path)
    await server.start()
    try:
        assert server.pid is not None
        assert os.getsid(server.pid) == server.pid
        known = await asyncio.to_thread(leftover, tmp_path, "program")
        assert known == psutil.Process(server.pid)
    finally:
        await server.stop()
    assert server.pid is None
    assert not pid_file(tmp_path, "program").exists()


async def test_a_stop_is_idempotent_and_may_come_before_the_start(tmp_path):
    server = program(tmp_path)
    await server.stop()
    await server.start()
    await server.stop()
    await server.stop()


async def test_a_server_that_ignores_the_signal_is_killed(tmp_path):
    server = program(tmp_path, before=DEAF)
    await server.start()
    pid = server.pid
    assert pid is not None
    await server.stop()
    assert not psutil.pid_exists(pid)


async def test_between_the_end_of_a_server_and_that_of_its_children_a_stop_waits(tmp_path):
    server = program(tmp_path, before=PARENT + DEAF)
    await server.start()
    [child] = psutil.Process(server.pid).children()
    await server.stop()
    assert ended(child)


async def test_children_that_outlive_their_server_are_ended_by_its_stop(tmp_path):
    server = program(tmp_path, before=PARENT)
    await server.start()
    [child] = psutil.Process(server.pid).children()
    psutil.Process(server.pid).kill()
    await server.wait()
    assert not ended(child)
    await server.stop()
    assert ended(child)


def ended(process: psutil.Process) -> bool:
    """Return whether it has ended; an orphan that nobody reaps stays a zombie."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_waiting_returns_the_status_of_a_server_that_died(tmp_path):
    server = program(tmp_path)
    await server.start()
    psutil.Process(server.pid).kill()
    assert await server.wait() == -signal.SIGKILL
    assert server.pid is None
    await server.stop()


async def test_a_server_that_died_is_started_again(tmp_path):
    server = program(tmp_path)
    await server.start()
    psutil.Process(server.pid).kill()
    await server.wait()
    await server.start()
    assert server.pid is not None
    await server.stop()


async def test_waiting_for_what_was_not_started_is_refused(tmp_path):
    with pytest.raises(ServerError, match="program was not started"):
        await program(tmp_path).wait()


async def test_one_that_ends_while_starting_is_named_with_its_last_lines(tmp_path):
    server = program(tmp_path, before="sys.exit('no such luck')")
    with pytest.raises(ServerError, match="ended with status 1") as caught:
        await server.start()
    assert "no such luck" in str(caught.value)
    assert str(server.log_file) in str(caught.value)
    assert not pid_file(tmp_path, "program").exists()


async def test_one_that_never_responds_is_given_up_and_ended(tmp_path):
    server = program(tmp_path, before="print('thinking', flush=True); signal.pause()")
    server.start_seconds = 0.5
    with pytest.raises(ServerError, match=r"did not answer within .*\n?thinking"):
        await server.start()
    assert server.pid is None


async def test_a_start_that_is_cancelled_leaves_no_process(tmp_path):
    asked = asyncio.Event()

    class Asked(Program):
        async def answers(self) -> bool:
            asked.set()
            return False

    silent = "import signal; signal.pause()"
    server = Asked(directory=tmp_path, source=silent, port=free_port())
    starting = asyncio.create_task(server.start())
    await asked.wait()
    process = psutil.Process(server.pid)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not process.is_running()


async def test_a_taken_port_is_named_with_its_owner_and_the_setting_that_moves_it(tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        server = Program(directory=tmp_path, source="", port=port, setting="PROGRAM_PORT")
        with pytest.raises(ServerError) as caught:
            await server.start()
    message = str(caught.value)
    assert f"port {port} of program is taken by " in message
    assert f"(pid {os.getpid()})" in message
    assert "Set PROGRAM_PORT to another." in message


async def test_a_port_that_was_just_left_is_not_taken(tmp_path):
    server = program(tmp_path)
    for _ in range(2):
        await server.start()
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await server.stop()
        writer.close()


async def orphaned(*, deaf: bool = False) -> asyncio.subprocess.Process:
    source = f"import signal; {DEAF if deaf else ''}\nprint(flush=True); signal.pause()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", source), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def test_a_leftover_is_ended_in_order(tmp_path):
    process = await orphaned()
    await asyncio.to_thread(write_pid_file, tmp_path, "one", process.pid)
    assert await asyncio.to_thread(kill_leftover, tmp_path, "one")
    assert await process.wait() in {-signal.SIGTERM, 255}
    assert not pid_file(tmp_path, "one").exists()
    assert not await asyncio.to_thread(kill_leftover, tmp_path, "one")


async def test_a_process_that_only_has_the_same_id_is_left_alone(tmp_path):
    process = await orphaned()
    await asyncio.to_thread(write_pid_file, tmp_path, "one", process.pid)
    file = pid_file(tmp_path, "one")
    known = json.loads(file.read_text())
    file.write_text(json.dumps(known | {"create_time": known["create_time"] - 60}))
    assert not await asyncio.to_thread(kill_leftover, tmp_path, "one")
    assert process.returncode is None
    assert not file.exists()
    process.kill()
    await process.wait()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": "x"}', '{"pid": null}'])
def test_a_file_that_is_damaged_remembers_nothing(tmp_path, content):
    pid_file(tmp_path, "one").write_text(content)
    assert not kill_leftover(tmp_path, "one")
    assert not pid_file(tmp_path, "one").exists()


def test_a_program_that_prepares_something_and_fails_is_named_with_what_it_said():
    with pytest.raises(ServerError, match=r"(?s)Could not make tea: exit status 3.*no water"):
        run_to_end(["sh", "-c", "echo no water >&2; exit 3"], purpose="make tea")


class OnAFullDisk(Program):
    async def prepare(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_full_disk_is_an_error_that_names_the_server_and_its_directory(tmp_path: Path):
    server = OnAFullDisk(directory=tmp_path, source="", port=free_port())
    with pytest.raises(ServerError, match="No space left on device") as failed:
        await server.start()
    assert str(failed.value).startswith(f"program can't be started in {tmp_path}: ")
    assert server.pid is None
