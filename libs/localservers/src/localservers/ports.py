"""Ports of this machine: which are free, and which process listens at one."""

import fcntl
import os
import random
import socket
import tempfile
from contextlib import closing, suppress
from pathlib import Path

import psutil

FIRST, LAST = 20_000, 32_767
"""Below the ports that Linux (32,768 on) and macOS (49,152 on) give to outgoing connections."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing uses, different in each call.

    A port stays free until its server starts, and while that server is started again: outgoing
    connections get ports of another range, and all processes of a user that call this take turns
    through one file, so that none gets a port that another was given shortly before.

    Raises:
        OSError: every port of the range is taken.
    """
    descriptor = os.open(_turns(), os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+") as turns:
        fcntl.flock(turns, fcntl.LOCK_EX)  # until it is closed
        text = turns.read()
        last = int(text) if text else random.randint(FIRST, LAST)  # noqa: S311 - where to begin
        port = _next_free(last)
        turns.seek(0)
        turns.write(f"{port:05}")
        return port


def can_bind(port: int) -> bool:
    """Return whether a server could listen at this port of 127.0.0.1 now."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def owner(port: int) -> str:
    """Return the process that listens at a port, for people; empty if that can't be seen."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr[1:] == (port,) and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""


def listens_at(pid: int, port: int) -> bool:
    """Return whether a process, or one of its children, listens at a port."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return any(port in _listening(one) for one in (process, *process.children(recursive=True)))
    return False


def _listening(process: psutil.Process) -> set[int]:
    with suppress(psutil.NoSuchProcess):
        connections = process.net_connections("tcp")
        return {one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN}
    return set()


def _turns() -> Path:
    return Path(tempfile.gettempdir()) / f"localservers-ports-{os.getuid()}"


def _next_free(last: int) -> int:
    for step in range(1, LAST - FIRST + 2):
        port = FIRST + (last - FIRST + step) % (LAST - FIRST + 1)
        if can_bind(port):
            return port
    message = f"All ports from {FIRST} to {LAST} are taken."
    raise OSError(message)
