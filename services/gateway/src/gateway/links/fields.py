"""Header fields as lists of lines: read, replaced, and added to."""

from collections.abc import Iterable

from gateway.exchange import FieldLines


def value_of(fields: FieldLines, name: bytes) -> bytes | None:
    """Return the value of a field, with its lines joined (RFC 9110 §5.3); None without any."""
    lines = [value for known, value in fields if known == name]
    if not lines:
        return None
    return lines[0] if len(lines) == 1 else b", ".join(lines)


def without(fields: FieldLines, *names: bytes) -> FieldLines:
    """Return the fields without those of these names."""
    return [item for item in fields if item[0] not in names]


def replaced(fields: FieldLines, changes: Iterable[tuple[bytes, bytes]]) -> FieldLines:
    """Return the fields with each changed field on one line."""
    changes = list(changes)
    return [*without(fields, *(name for name, _ in changes)), *changes]
