"""Seals new entries of the audit log, in a periodic job, so no request waits for it.

An entry waits in ``audit_unsealed`` from its own transaction on. So the order in which
transactions commit does not matter: an entry that commits after one with a higher id is sealed
later, and never skipped.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Counter

from chassis.audit.chain import ENTRY_COLUMNS, START, Seal, SealMark, entry_hash
from chassis.database.database import Database
from chassis.database.unit import Unit
from chassis.jobs.arguments import JobArguments
from chassis.jobs.kinds import OutsideJob, OutsideRun
from chassis.jobs.retention import QUEUE
from chassis.jobs.schedules import Schedule

log = structlog.get_logger(__name__)

EVERY = timedelta(minutes=1)
ENTRIES = 500
"""How many entries a seal covers at most. Hashing them takes a few milliseconds of the loop."""

_LAST = """
    SELECT now() AS sealed_at, last.number, last.hash
    FROM (SELECT) AS one
    LEFT JOIN (SELECT number, hash FROM audit_seals ORDER BY number DESC LIMIT 1) AS last ON true
"""
_WAITING = f"""
    SELECT {ENTRY_COLUMNS} FROM audit_log
    WHERE id IN (SELECT id FROM audit_unsealed ORDER BY id LIMIT $1) ORDER BY id
"""  # noqa: S608 - of constants
_INSERT = """
    INSERT INTO audit_seals (number, sealed_at, newest_at, entry_ids, entry_hashes, previous, hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_DONE = "DELETE FROM audit_unsealed WHERE id = ANY($1::bigint[])"


class SealEntries(JobArguments):
    """Seal the entries of the audit log that wait for it."""

    kind = "chassis.seal-audit.v1"
    queue = QUEUE


class Sealing:
    """The job kind that seals entries, and its schedule.

    Args:
        service: the service's name.
        database: the service's database.
        registry: where the counter of sealed entries is registered.
        entries: how many entries a seal covers at most.
    """

    def __init__(
        self,
        *,
        service: str,
        database: Database,
        registry: CollectorRegistry,
        entries: int = ENTRIES,
    ) -> None:
        self._lock = f"{service} audit seals"
        self._database = database
        self._entries = entries
        self._sealed = Counter(
            "audit_sealed_entries_total",
            "Entries of the audit log that were sealed.",
            registry=registry,
        )

    @property
    def kind(self) -> OutsideJob[SealEntries, Any]:
        """The kind of these jobs."""
        return OutsideJob(SealEntries, self.run, time_limit=600)

    @property
    def schedule(self) -> Schedule:
        """When they run."""
        return Schedule(arguments=SealEntries(), every=EVERY)

    async def run(self, _: SealEntries, __: OutsideRun[Any]) -> None:
        """Seal all entries that wait, some in each transaction."""
        while await self.seal() == self._entries:
            pass

    async def seal(self) -> int:
        """Seal waiting entries in one transaction, and return how many."""
        async with self._database.transaction() as unit:
            # Two workers that seal at the same time would continue the same seal.
            await unit.lock(self._lock)
            entries = await unit.fetch(_WAITING, self._entries)
            if not entries:
                return 0
            mark = await _add_seal(unit, entries)
        self._sealed.inc(len(entries))
        # Whoever can change the database can make a new chain. This line is kept elsewhere.
        log.info("audit sealed", entries=len(entries), seal=str(mark))
        return len(entries)


async def _add_seal(unit: Unit, entries: Sequence[asyncpg.Record]) -> SealMark:
    [last] = await unit.fetch(_LAST)
    seal = Seal(
        number=(last["number"] or 0) + 1,
        sealed_at=last["sealed_at"],
        newest_at=max(entry["at"] for entry in entries),
        entry_ids=[entry["id"] for entry in entries],
        entry_hashes=[entry_hash(entry) for entry in entries],
        previous=START if last["hash"] is None else last["hash"],
    )
    await unit.execute(
        _INSERT,
        seal.number,
        seal.sealed_at,
        seal.newest_at,
        seal.entry_ids,
        seal.entry_hashes,
        seal.previous,
        seal.hash,
    )
    await unit.execute(_DONE, seal.entry_ids)
    return SealMark(number=seal.number, hash=seal.hash)
