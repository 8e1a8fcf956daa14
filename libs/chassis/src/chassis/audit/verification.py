"""Verifies the seals of the audit log: finds entries that were changed or removed after sealing.

A page at a time, since a transaction may take only seconds, and a log may hold millions of entries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

import asyncpg

from chassis.audit.chain import (
    ENTRY_COLUMNS,
    Fault,
    Seal,
    SealMark,
    StoredSeal,
    chain_faults,
    entry_hash,
)
from chassis.audit.pruning import AUDIT_KEPT
from chassis.database.unit import Unit

_PAGE_SEALS = 100
_PAGE_ENTRIES = 1000  # hashing them takes about 10 ms of the event loop
_STRAYS = 100

_SEALS = """
    SELECT number, sealed_at, newest_at, entry_ids, entry_hashes, previous, hash
    FROM audit_seals WHERE number > $1 ORDER BY number LIMIT $2
"""
_ENTRIES = f"SELECT {ENTRY_COLUMNS} FROM audit_log WHERE id = ANY($1::bigint[])"  # noqa: S608 - of constants
# Read after the entries: retention may delete some that expired during this transaction.
_OLDEST_KEPT = "SELECT clock_timestamp() - $1::interval AS at"
_HASH = "SELECT hash FROM audit_seals WHERE number = $1"
_WAITING = "SELECT count(*) AS waiting FROM audit_unsealed"
# One statement, so one snapshot: between two, the job could move an entry from one to the other.
_COVERED = """
    WITH page AS MATERIALIZED (SELECT id FROM audit_log WHERE id > $1 ORDER BY id LIMIT $2),
    covered AS (
        SELECT unnest(entry_ids) AS id FROM audit_seals
        WHERE entry_ids && (SELECT array_agg(id) FROM page)
        UNION ALL SELECT id FROM audit_unsealed WHERE id IN (SELECT id FROM page)
    )
    SELECT id, id IN (SELECT id FROM covered) AS covered FROM page ORDER BY id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was verified so far, and what did not fit.

    Attributes:
        seals: how many seals this page has.
        entries: how many sealed entries of theirs are present.
        faults: what was changed or removed.
        end: the last seal of the page; None if there is no seal.
        compared: up to which id entries were looked up in the seals; None before that begins, at
            the end of the chain.
        more: whether there is more to verify.
        waiting: how many entries are not sealed yet; None before the last page.
    """

    seals: int
    entries: int
    faults: Sequence[Fault]
    end: SealMark | None
    compared: int | None
    more: bool
    waiting: int | None


class AuditVerifier:
    """Verifies the seals of one service.

    Args:
        kept: the age at which retention may delete sealed entries.
        entries: about how many entries one page covers. It has at least one seal.
    """

    def __init__(self, *, kept: timedelta = AUDIT_KEPT, entries: int = _PAGE_ENTRIES) -> None:
        self._kept = kept
        self._entries = entries

    async def verify_page(
        self,
        unit: Unit,
        *,
        after: SealMark | None = None,
        compared: int | None = None,
        known: SealMark | None = None,
    ) -> Verification:
        """Verify the next seals with their entries.

        After the last seal, pages of entries follow: those that are neither sealed nor waiting are
        faults.

        Args:
            unit: the transaction.
            after: the end of the page before; None for the first page.
            compared: that of the page before; None for the first page.
            known: a seal that was noted elsewhere before. The last page compares it, so that a
                chain that was made anew or cut off at its end is found.
        """
        start = 0 if after is None else after.number
        rows = await unit.fetch(_SEALS, start, _PAGE_SEALS)
        page = rows[: self._size(rows)]
        ids = [number for row in page for number in row["entry_ids"]]
        present = {row["id"]: entry_hash(row) for row in await unit.fetch(_ENTRIES, ids)}
        [oldest] = await unit.fetch(_OLDEST_KEPT, self._kept)
        seals = [_stored(row, oldest_kept=oldest["at"]) for row in page]
        faults = list(chain_faults(seals, present, after=after))
        more = len(seals) < len(rows) or len(rows) == _PAGE_SEALS
        waiting = None
        if not more:
            strays, compared, more = await self._strays(unit, after=compared or 0)
            faults += strays
        if not more:
            faults += await self._known_faults(unit, known)
            waiting = (await unit.fetch(_WAITING))[0]["waiting"]
        return Verification(
            seals=len(seals),
            entries=len(present),
            faults=faults,
            end=seals[-1].mark if seals else after,
            compared=compared,
            more=more,
            waiting=waiting,
        )

    def _size(self, rows: Sequence[asyncpg.Record]) -> int:
        """Return how many of the seals belong to the page."""
        sums = accumulate(len(row["entry_ids"]) for row in rows)
        return max(1, sum(1 for covered in sums if covered <= self._entries))

    async def _known_faults(self, unit: Unit, known: SealMark | None) -> list[Fault]:
        if known is None:
            return []
        rows = await unit.fetch(_HASH, known.number)
        if not rows:
            reason = (
                f"The known seal {known.number} is not in the chain: it was removed, or retention "
                "deleted it."
            )
        elif rows[0]["hash"] != known.hash:
            reason = f"The known seal {known.number} has another hash: the chain was made anew."
        else:
            return []
        return [Fault(seal=known.number, entry=None, reason=reason)]

    async def _strays(self, unit: Unit, *, after: int) -> tuple[list[Fault], int, bool]:
        """Look the next entries up in the seals.

        Returns:
            The faults, the last id, and whether to go on: not after _STRAYS faults, since more of
            them would say nothing new.
        """
        rows = await unit.fetch(_COVERED, after, self._entries)
        reason = (
            "The entry is neither sealed nor waiting: its seal was removed, or it was inserted "
            "with the trigger off."
        )
        faults = [
            Fault(seal=None, entry=row["id"], reason=reason) for row in rows if not row["covered"]
        ]
        more = len(rows) == self._entries and len(faults) < _STRAYS
        return faults[:_STRAYS], rows[-1]["id"] if rows else after, more


def _stored(row: asyncpg.Record, *, oldest_kept: datetime) -> StoredSeal:
    seal = Seal(
        number=row["number"],
        sealed_at=row["sealed_at"],
        newest_at=row["newest_at"],
        entry_ids=row["entry_ids"],
        entry_hashes=row["entry_hashes"],
        previous=row["previous"],
    )
    return StoredSeal(seal=seal, hash=row["hash"], expired=seal.newest_at < oldest_kept)
