"""The chain of seals: each covers some entries by their hashes, and the seal before by its hash.

The hashes are SHA-256 of JSON, so they depend neither on PostgreSQL's version nor on ours.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, Self

START = bytes(32)
"""What the first seal of a chain has in place of the hash of a seal before it."""

_ENTRY_FIELDS = (
    "id", "at", "actor_kind", "actor_id", "session_id", "api_key_id", "methods", "action",
    "subject", "details", "address", "request_id", "traceparent",
)  # fmt: skip

ENTRY_COLUMNS = ", ".join(
    "details::text AS details" if name == "details" else name for name in _ENTRY_FIELDS
)
"""The columns that ``entry_hash`` reads; another set would change the hashes of sealed entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealMark:
    """The end of a chain, or of a part of it: a seal's number and hash.

    Its text is ``<number>:<hash in hex>``.
    """

    number: int
    hash: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the mark of a text.

        Raises:
            ValueError: the text is not a number, a colon and hexadecimal digits.
        """
        number, _, digits = text.partition(":")
        return cls(number=int(number), hash=bytes.fromhex(digits))

    def __str__(self) -> str:
        return f"{self.number}:{self.hash.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """One link of the chain.

    Attributes:
        number: 1 for the first, and without gaps.
        sealed_at: when the job sealed the entries.
        newest_at: the newest time of an entry. It says when all of them have expired.
        entry_ids: the covered entries.
        entry_hashes: the hashes of these entries, in the same order.
        previous: the hash of the seal before.
    """

    number: int
    sealed_at: datetime
    newest_at: datetime
    entry_ids: Sequence[int]
    entry_hashes: Sequence[bytes]
    previous: bytes

    @property
    def hash(self) -> bytes:
        """The hash of all fields, which the next seal repeats."""
        return _hash_of(
            [
                self.number,
                _time(self.sealed_at),
                _time(self.newest_at),
                list(self.entry_ids),
                [one.hex() for one in self.entry_hashes],
                self.previous.hex(),
            ]
        )


class EntryRow(Protocol):
    """A row with the columns of an entry, by name."""

    def __getitem__(self, name: str, /) -> Any:  # noqa: ANN401 - of any type of PostgreSQL
        """Return the value of a column."""


def entry_hash(entry: EntryRow) -> bytes:
    """Return the hash of an entry that was read with ENTRY_COLUMNS."""
    return _hash_of([_plain(entry[name]) for name in _ENTRY_FIELDS])


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return _time(value)
    return value if value is None or isinstance(value, (int, str, list)) else str(value)


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def _hash_of(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A sign that sealed rows were changed or removed.

    Attributes:
        seal: the number of the seal; None if the fault belongs to no seal.
        entry: the id of the entry; None if the fault is in the chain itself.
        reason: what does not fit.
    """

    seal: int | None
    entry: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSeal:
    """A seal as it was read, with the hash that its row has, and whether its entries expired."""

    seal: Seal
    hash: bytes
    expired: bool

    @property
    def mark(self) -> SealMark:
        """The seal's number and the hash that its row has."""
        return SealMark(number=self.seal.number, hash=self.hash)


def chain_faults(
    seals: Iterable[StoredSeal], entries: Mapping[int, bytes], *, after: SealMark | None
) -> Iterator[Fault]:
    """Yield the faults of consecutive seals and of the entries that they cover.

    Args:
        seals: in the order of their numbers.
        entries: the present hashes of their entries, by id.
        after: the seal before the first one; None if that is the first seal that there is.
    """
    before = after
    for stored in seals:
        yield from _link_faults(stored, before)
        yield from _entry_faults(stored, entries)
        before = stored.mark


def _link_faults(stored: StoredSeal, before: SealMark | None) -> Iterator[Fault]:
    number = stored.seal.number
    if stored.seal.hash != stored.hash:
        yield Fault(seal=number, entry=None, reason="The seal was changed.")
    expected = SealMark(number=0, hash=START) if before is None else before
    if number != expected.number + 1:
        # Retention deletes the seals before the newest one whose entries have all expired.
        if not stored.expired:
            reason = f"The seals {expected.number + 1} to {number - 1} were removed."
            yield Fault(seal=number, entry=None, reason=reason)
    elif stored.seal.previous != expected.hash:
        reason = f"The seal does not continue the chain: its predecessor is not {expected}."
        yield Fault(seal=number, entry=None, reason=reason)


def _entry_faults(stored: StoredSeal, entries: Mapping[int, bytes]) -> Iterator[Fault]:
    seal = stored.seal
    # The lists differ in length only if the seal was changed, which its hash shows.
    for number, sealed in zip(seal.entry_ids, seal.entry_hashes, strict=False):
        present = entries.get(number)
        if present is None:
            if not stored.expired:
                yield Fault(seal=seal.number, entry=number, reason="The entry was removed.")
        elif present != sealed:
            yield Fault(seal=seal.number, entry=number, reason="The entry was changed.")
