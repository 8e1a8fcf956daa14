"""Runs programs in forks of one interpreter that has imported what they share.

`slipway.local.forks` starts ``python -m slipway.local.template``, with a socket as its standard
input. Each message there carries one end of a connection, which serves one program: it carries the
request, the id of the fork, the word to begin, and the exit status.

A fork keeps no thread and no event loop. So none may exist here, and this is plain blocking code.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

_SHARED = ("chassis.service_processes", "contracts")
_MANY = 4096


def serve(control: socket.socket) -> Mapping[str, Any] | None:
    """Fork a process for each request.

    Returns:
        in each fork, its request; in this process None, once the other end of `control` is closed.
    """
    wake, woken = socket.socketpair()
    wake.settimeout(0)  # a signal must not block on a full buffer
    signal.signal(signal.SIGCHLD, lambda *_: None)  # the wake-up needs a handler
    signal.set_wakeup_fd(wake.fileno())
    children: dict[int, socket.socket] = {}
    while True:
        readable, _, _ = select.select([control, woken], [], [])
        if woken in readable:
            woken.recv(_MANY)
            _report_ended(children)
        if control not in readable:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return None
        connection = socket.socket(fileno=descriptors[0])
        request = _read(connection)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # A copy of another's connection would hide from its owner that this process has ended.
            for inherited in (control, wake, woken, *children.values()):
                inherited.close()
            _become(request, connection)
            return request
        children[pid] = connection


def _read(connection: socket.socket) -> Mapping[str, Any]:
    with connection.makefile("rb") as file:
        request: Mapping[str, Any] = json.loads(file.readline())
    return request


def _report_ended(children: dict[int, socket.socket]) -> None:
    """Send the exit status of each child that has ended; several may share one signal."""
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with children.pop(pid) as connection:
                _send(connection, f"ended {os.waitstatus_to_exitcode(status)}\n")


def _become(request: Mapping[str, Any], connection: socket.socket) -> None:
    """Give this fork a session, an environment, a directory and a log; return when it may begin."""
    os.setsid()
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for opened, standard in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(opened, standard)
    os.close(nothing)
    os.close(log)
    # `ps` and `top` show this name; the command line stays that of the template.
    Path("/proc/self/comm").write_text(request["name"], encoding="utf-8")
    with connection:
        _send(connection, f"began {os.getpid()}\n")
        if not connection.recv(1):  # the supervisor gave up, and nobody would ever stop this fork
            os._exit(0)


def _send(connection: socket.socket, line: str) -> None:
    with suppress(OSError):  # the supervisor has closed its end: it does not need the line
        connection.sendall(line.encode())


def main() -> None:
    """Import what is shared, then serve; a fork returns from that and runs its program."""
    gc.disable()
    for module in _SHARED:
        import_module(module)
    # A collection in a fork would write to each object, and so copy the memory that they share.
    gc.freeze()
    request = serve(socket.socket(fileno=os.dup(0)))
    if request is None:
        return
    gc.enable()
    sys.path.insert(0, request["directory"])  # as `python -m` does
    module, *arguments = request["module"]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
