"""The log line of each request of a server that can't afford structlog's for every one.

The lines have the fields and the redaction of the others. Those of one turn of the loop are written
together, so that a burst of requests costs one system call.
"""

import asyncio
import logging
import time

import structlog

from chassis.telemetry.levels import LEVELS
from chassis.telemetry.logging import (
    encoded,
    may_hold_secret,
    shown_path,
    without_secrets,
    write_lines,
    writes_json,
)

_NAME = "chassis.http.access"

log = structlog.get_logger(_NAME)


class RequestLines:
    """Writes the lines. It takes the configuration that applies when it is made.

    Args:
        process: the process's name, which each line carries. None writes each line by structlog.
    """

    def __init__(self, process: str | None) -> None:
        self._fast = process is not None and writes_json()
        self._tail = f'", "process": {encoded(process)}'
        self._waiting: list[str] = []
        self._second = 0
        self._stamp = ""

    def write(
        self,
        *,
        request_id: str,
        method: str,
        route: str,
        path: str,
        status: int,
        seconds: float,
        user_id: str | None,
        trace: tuple[str, str] | None,
    ) -> None:
        """Write one line, at the latest in the loop's next turn.

        Args:
            request_id: the request's id.
            method: its method.
            route: the label of its route in metrics, plain text.
            path: its path, decoded; secrets in it are redacted.
            status: the status of its response; 0 without one.
            seconds: how long it took.
            user_id: the id of the user who sent it, if known.
            trace: the ids of its trace and its span.
        """
        if not self._fast:
            ids = {} if trace is None else {"trace_id": trace[0], "span_id": trace[1]}
            if user_id is not None:
                ids["user_id"] = user_id
            log.info(
                "request ended",
                request_id=request_id,
                method=method,
                route=route,
                path=shown_path(path),
                status=status,
                milliseconds=round(seconds * 1000, 1),
                **ids,
            )
            return
        if LEVELS.number > logging.INFO:
            return
        if "@" in path or may_hold_secret(f"{path} {request_id}"):  # few hold one
            path, request_id = shown_path(path), without_secrets(request_id)
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append(
            f'{{"method": "{method}", "route": "{route}", "path": {encoded(path)}, '
            f'"status": {status}, "milliseconds": {seconds * 1000:.1f}, "event": "request ended", '
            f'"request_id": "{request_id}", "level": "info", '
            f'"logger": "{_NAME}", "timestamp": "{self._stamp}.{int(now % 1 * 1e6):06}Z'
            f"{self._tail}"
            + (f', "user_id": "{user_id}"' if user_id else "")
            + (f', "trace_id": "{trace[0]}", "span_id": "{trace[1]}"}}\n' if trace else "}\n")
        )

    def flush(self) -> None:
        """Write the lines that wait."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            write_lines("".join(waiting))
