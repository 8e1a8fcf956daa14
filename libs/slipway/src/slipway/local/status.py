"""What runs, and whether it is healthy: read from the state directory and from each process."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

import psutil
from pydantic import BaseModel, Field
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from slipway.local.figures import Figures, read_figures
from slipway.local.logtail import last_error
from slipway.local.probe import Get, get_here, probe
from slipway.state import Entry, Record, StateDirectory

OK = "ok"
_READY_PATH = "/healthz/ready"
_SHOWN_CHARACTERS = 80
_MEBIBYTE = 1024 * 1024
_ELSEWHERE_SHOWN = {"release", "breakers", "limiter_store", "refusals"}


class Row(BaseModel):
    """One process or server.

    Attributes:
        memory_pss_bytes: counts shared pages by share, children included; None if it is elsewhere.
        figures: of a process; None if it has no metrics, or does not respond.
        last_error: the newest line of its log with an error since the start ended, if the log is
            here.
    """

    name: str
    pid: int | None
    health: str
    address: str
    memory_pss_bytes: int | None
    figures: Figures | None = None
    last_error: str | None = None


class Status(BaseModel):
    """The whole system."""

    state: Literal["running", "starting", "stopped"]
    supervisor: Row | None = None
    processes: list[Row] = Field(default_factory=list)
    servers: list[Row] = Field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Return whether everything runs and is ready."""
        rows = [*self.processes, *self.servers]
        return self.state == "running" and all(row.health == OK for row in rows)


async def read_status(state: StateDirectory) -> Status:
    """Return the status of everything that the record names."""
    record = await asyncio.to_thread(state.read)
    if record is None or not record.alive:
        return Status(state="stopped")
    since = record.ready_at  # while all start at once, some wait for others and say so
    processes, servers = await asyncio.gather(
        asyncio.gather(*(_row(entry, state, since=since) for entry in record.processes)),
        asyncio.gather(*(_row(entry, state, since=since) for entry in record.servers)),
    )
    return Status(
        state="running" if record.ready else "starting",
        supervisor=await _supervisor(record),
        processes=list(processes),
        servers=list(servers),
    )


async def read_status_at(addresses: Mapping[str, str], get: Get) -> Status:
    """Return the status of processes elsewhere.

    Args:
        addresses: of their internal ports, by a name for each: ``http://host:port``.
        get: sends the requests.
    """
    entries = [
        Entry(name=name, pid=None, address=address, ready_url=address.rstrip("/") + _READY_PATH)
        for name, address in addresses.items()
    ]
    rows = await asyncio.gather(*(_row(entry, None, get) for entry in entries))
    return Status(state="running", processes=rows)


async def _row(
    entry: Entry,
    state: StateDirectory | None,
    get: Get = get_here,
    *,
    since: datetime | None = None,
) -> Row:
    """Return the row of a process or server.

    Args:
        entry: the process or server.
        state: has the log; None if it is elsewhere.
        get: sends requests.
        since: errors that are older are not shown.
    """
    figures = error = None
    if entry.pid is None and state is not None:
        health = "not running"
    elif entry.ready_url is not None:
        answer, figures = await asyncio.gather(
            probe(entry.ready_url, get),
            read_figures(entry.ready_url.removesuffix(_READY_PATH), get),
        )
        health = ("; ".join(answer.troubles) or OK) if answer.well else answer.text
    else:
        health = await _reach(entry.address)
    if state is not None:
        error = await asyncio.to_thread(last_error, state.logs / f"{entry.name}.log", since=since)
    memory = await asyncio.to_thread(memory_pss, entry.pid)
    return Row(
        name=entry.name,
        pid=entry.pid,
        health=health,
        address=entry.address,
        memory_pss_bytes=memory,
        figures=figures,
        last_error=error,
    )


async def _supervisor(record: Record) -> Row:
    memory = await asyncio.to_thread(memory_pss, record.pid, children=False)
    return Row(name="supervisor", pid=record.pid, health=OK, address="", memory_pss_bytes=memory)


async def _reach(address: str) -> str:
    place = urlsplit(address if "//" in address else f"//{address}")
    try:
        async with asyncio.timeout(3):
            _, writer = await asyncio.open_connection(place.hostname, place.port)
    except OSError as error:  # a time-out is one, too
        return f"{address}: {error!r}"
    writer.close()
    return OK


def memory_pss(pid: int | None, *, children: bool = True) -> int | None:
    """Return the PSS of a process and its children, in bytes; None if it is unknown."""
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if children else ())]
    except psutil.Error:
        return None
    return sum(_pss(member) for member in family)


def _pss(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
    except psutil.Error:
        return 0
    pss: int = getattr(memory, "pss", memory.uss)  # PSS is Linux's; USS is the nearest elsewhere
    return pss


def as_tables(status: Status) -> Group:
    """Return the status as tables: what runs, what waits, and what was refused."""
    parts: list[RenderableType] = [_what_runs(status)]
    parts += [
        Text(f"{row.name}, last error: {row.last_error[:_SHOWN_CHARACTERS]}")
        for row in [*status.processes, *status.servers]
        if row.last_error
    ]
    rows = [row for row in status.processes if row.figures is not None]
    if rows:
        parts.append(_what_waits(rows))
        parts += filter(None, map(_what_guards, rows))
    refusals = {
        (row.name, limit): number
        for row in rows
        if row.figures is not None
        for limit, number in row.figures.refusals.items()
    }
    if refusals:
        table = Table("process", "limit", "refused since its start")
        for (name, limit), number in refusals.items():
            table.add_row(name, limit, str(number))
        parts.append(table)
    return Group(*parts)


def _what_runs(status: Status) -> Table:
    rows = [*status.processes, *status.servers]
    releases = sorted({row.figures.release or "" for row in rows if row.figures is not None})
    several = len(releases) > 1
    table = Table(
        Column("name", no_wrap=True),
        *(("release",) if several else ()),
        "pid",
        Column("health", overflow="fold"),
        Column("address", overflow="fold"),
        Column("memory", no_wrap=True, justify="right"),
        title=None if several else "".join(f"Release {one}" for one in releases if one) or None,
    )
    total = 0
    for row in [*([status.supervisor] if status.supervisor is not None else ()), *rows]:
        memory = row.memory_pss_bytes or 0
        total += memory
        release = row.figures.release if row.figures is not None else None
        table.add_row(
            row.name,
            *((release or "",) if several else ()),
            str(row.pid or ""),
            escape(row.health),
            row.address,
            _megabytes(memory),
        )
    table.add_section()
    table.add_row("in all", *[""] * (len(table.columns) - 2), _megabytes(total))
    return table


def _what_waits(rows: Iterable[Row]) -> Table:
    process = Column("process", no_wrap=True)
    table = Table(process, "outbox", "lag", "parked", "dead", "dead jobs")
    for row in rows:
        found = row.figures
        if found is not None and found.model_dump(exclude_defaults=True, exclude=_ELSEWHERE_SHOWN):
            table.add_row(
                row.name,
                _waiting(found.outbox_rows, found.outbox_age_seconds),
                _waiting(found.lag_messages, found.lag_seconds),
                _number(found.parked),
                _number(found.dead),
                _number(found.dead_jobs),
            )
    return table


def _what_guards(row: Row) -> Text | None:
    """Return what guards the services behind a gateway, as a line: a column would be too wide."""
    found = row.figures
    if found is None or (not found.breakers and found.limiter_store is None):
        return None
    breakers = ", ".join(f"{name} {state}" for name, state in found.breakers.items())
    return Text(f"{row.name}, rate limits: {found.limiter_store or '?'}; breakers: {breakers}")


def _waiting(count: int | None, seconds: float | None) -> str:
    if count is None:
        return ""
    return f"{count}, {seconds:.0f} s" if count and seconds is not None else str(count)


def _number(count: int | None) -> str:
    return "" if count is None else str(count)


def _megabytes(size: int) -> str:
    return f"{size / _MEBIBYTE:.0f} MiB"
