"""What runs, and whether it is healthy: read from the state directory and from each process."""

import asyncio
from typing import Literal
from urllib.parse import urlsplit

import psutil
from pydantic import BaseModel, Field
from rich.table import Table

from slipway.local.probe import probe
from slipway.state import Entry, Record, StateDirectory

OK = "ok"
_MEBIBYTE = 1024 * 1024


class Row(BaseModel):
    """One process or server; `memory_pss_bytes` counts shared pages by share, children included."""

    name: str
    pid: int | None
    health: str
    address: str
    memory_pss_bytes: int | None


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
    processes, servers = await asyncio.gather(
        asyncio.gather(*(_row(entry) for entry in record.processes)),
        asyncio.gather(*(_row(entry) for entry in record.servers)),
    )
    return Status(
        state="running" if record.ready else "starting",
        supervisor=await _supervisor(record),
        processes=list(processes),
        servers=list(servers),
    )


async def _row(entry: Entry) -> Row:
    if entry.pid is None:
        health = "not running"
    elif entry.ready_url is not None:
        answer = await probe(entry.ready_url)
        health = ("; ".join(answer.troubles) or OK) if answer.well else answer.text
    else:
        health = await _reach(entry.address)
    memory = await asyncio.to_thread(memory_pss, entry.pid)
    return Row(
        name=entry.name,
        pid=entry.pid,
        health=health,
        address=entry.address,
        memory_pss_bytes=memory,
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


def as_table(status: Status) -> Table:
    """Return the status as a table."""
    table = Table("name", "pid", "health", "address", "memory")
    total = 0
    own = [status.supervisor] if status.supervisor is not None else []
    for row in [*own, *status.processes, *status.servers]:
        memory = row.memory_pss_bytes or 0
        total += memory
        table.add_row(row.name, str(row.pid or ""), row.health, row.address, _megabytes(memory))
    table.add_section()
    table.add_row("in all", "", "", "", _megabytes(total))
    return table


def _megabytes(size: int) -> str:
    return f"{size / _MEBIBYTE:.0f} MiB"
