"""Facts: what one process knows, a line of JSON each, to be joined by group and key elsewhere."""

from dataclasses import asdict, dataclass
from enum import StrEnum

from pydantic import TypeAdapter

_SEPARATOR = "\x1f"  # below each character of a group or key, so that lines sort by both


class Kind(StrEnum):
    """What a fact says."""

    WINDOW = "window"  # of the whole group: from when on each change must have its event
    ROW = "row"
    EVENT = "event"
    CAUSE = "cause"  # a change of a level
    EXCUSE = "excuse"
    HANDLED = "handled"  # an event that the consumer has passed
    PRESENT = "present"  # an event that the consumer may not have passed yet
    EFFECT = "effect"
    END = "end"  # the last fact of a process: what has none is incomplete


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact. The fields that its kind does not have are None.

    Attributes:
        group: what is compared: ``SERVICE/NAME``.
        key: what is joined with each other.
        kind: what it says.
        member: the subject of an event, or the id of the event of an effect.
        number: the version of a row or an event; for a cause, its delta.
        level: of a row or an event.
        at: seconds since the epoch.
        since: when a row was made, likewise.
        id: of an event.
        type: of an event.
        digest: of the event's data.
        partition: of an event; an operator may have added some, so a key may have two.
        place: the offset of an event; None if it is in the outbox.
        early: whether the event was in the topic before the rows were read.
        snapshot: whether the event announces no change.
        ended: whether the event's subject may have no row after it.
        outcome: what the inbox recorded of a handled event; None if it has no row.
    """

    group: str
    key: str
    kind: Kind
    member: str = ""
    number: int | None = None
    level: int | None = None
    at: float | None = None
    since: float | None = None
    id: str | None = None
    type: str | None = None
    digest: str | None = None
    partition: int | None = None
    place: int | None = None
    early: bool | None = None
    snapshot: bool | None = None
    ended: bool | None = None
    outcome: str | None = None

    @property
    def order(self) -> str:
        """The text by which facts are sorted."""
        return f"{self.group}{_SEPARATOR}{self.key}"

    def to_line(self) -> str:
        """Return the fact as a line of JSON without a line break."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return _FACT.dump_json(given).decode()


def read_fact(line: str | bytes) -> Fact:
    """Return the fact of a line, or raise ValueError if it has none."""
    return _READ.validate_json(line)


_FACT: TypeAdapter[dict[str, object]] = TypeAdapter(dict[str, object])
_READ: TypeAdapter[Fact] = TypeAdapter(Fact)
