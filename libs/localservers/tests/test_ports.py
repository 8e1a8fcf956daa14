import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from localservers.ports import FIRST, LAST, can_bind, free_port, listens_at, owner

MANY = "from localservers.ports import free_port; print(*(free_port() for _ in range(50)))"
LISTEN = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("listening", flush=True)
    sys.stdin.read()
"""


def test_processes_that_ask_at_once_get_different_ports_outside_the_range_of_connections():
    def ask(_):
        return subprocess.run(
            [sys.executable, "-c", MANY], capture_output=True, text=True, check=True
        ).stdout.split()

    with ThreadPoolExecutor(4) as threads:
        ports = [int(port) for answer in threads.map(ask, range(4)) for port in answer]
    assert len(set(ports)) == 200
    assert all(FIRST <= port <= LAST for port in ports)


def test_a_port_in_use_is_not_given_out_when_its_turn_comes(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    port = free_port()
    (turns,) = tmp_path.iterdir()
    with socket.create_server(("127.0.0.1", port)):
        assert not can_bind(port)
        turns.write_text(f"{port - 1:05}")
        assert free_port() != port


def test_after_the_last_port_comes_the_first(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    free_port()
    (turns,) = tmp_path.iterdir()
    turns.write_text(str(LAST))
    assert free_port() < LAST


def test_the_process_that_listens_is_told_from_others():
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        assert listens_at(process.pid, port)
        assert not listens_at(process.pid, port - 1)
        assert listens_at(os.getpid(), port)  # through its child
        assert f"(pid {process.pid})" in owner(port)
        process.stdin.close()
    assert not listens_at(process.pid, port)
    assert owner(port) == ""
