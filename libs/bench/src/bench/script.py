"""A captured transaction as a pgbench script that makes a new one of its kind each time.

Each transaction gets random values where two orders must differ: products and customer from the
same sets as in the load, the idempotency key, and new ids. All other parameters are sent as
captured.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.statements import Statement

# The statements of one round trip, as they were sent by the simple protocol.
_BEGIN_AND_MORE = re.compile(r"^\s*BEGIN\s*;\s*(?P<more>.+)$", re.DOTALL)
_WITH = re.compile(r"\s*WITH\b\s*")
_LOCK = re.compile(r"(pg_try_advisory_xact_lock)\(-?\d+\)")
_PLACEHOLDER = re.compile(r"\$(\d+)")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ARRAY = re.compile(rf"\{{{_UUID.pattern}(?:,{_UUID.pattern})*\}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Ids from which each transaction takes one at random.

    Attributes:
        variable: pgbench's, with the place of the chosen one.
        ids: all of them.
        captured: the one that the captured transaction took.
    """

    variable: str
    ids: Sequence[str]
    captured: str

    @property
    def expression(self) -> str:
        """Return SQL for the chosen id."""
        return f"('{{{','.join(self.ids)}}}'::uuid[])[:{self.variable}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The values that differ in each transaction.

    Attributes:
        choices: of ids.
        key: a number in the captured transaction that must be unique, as text.
    """

    choices: Sequence[Choice]
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script for pgbench.

    Attributes:
        text: of the file.
        definitions: of its variables, for `--define`.
    """

    text: str
    definitions: Mapping[str, str]


def script_of(transaction: Sequence[Statement], drawn: Drawn) -> Script:
    """Write the script."""
    writer = _Writer(drawn)
    lines = writer.prelude() + [writer.statement(statement) for statement in transaction]
    return Script(text="\n".join(lines) + "\n", definitions=writer.definitions)


class _Writer:
    def __init__(self, drawn: Drawn) -> None:
        self.definitions: dict[str, str] = {}
        self._drawn = drawn
        self._choices = {choice.captured: choice for choice in drawn.choices}
        # The names of new ids: the parts of a statement with WITH may share one.
        self._new: dict[str, str] | None = None

    def prelude(self) -> list[str]:
        """Return the commands that draw the random values."""
        digits = len(self._drawn.key)
        draws = [f"\\set key random({10 ** (digits - 1)}, {10**digits - 1})"]
        return draws + [f"\\set {c.variable} random(1, {len(c.ids)})" for c in self._drawn.choices]

    def statement(self, statement: Statement) -> str:
        """Return SQL with pgbench's variables for its parameters, and for the number of a lock."""
        if together := _BEGIN_AND_MORE.match(statement.sql):
            more = replace(statement, sql=_LOCK.sub(r"\1(:key)", together["more"]))
            return f"\\startpipeline\nBEGIN;\n{self.statement(more)}\n\\endpipeline"
        self._new = {} if _WITH.match(statement.sql) else None
        values = [self._value(text) for text in statement.parameters]
        sql = _PLACEHOLDER.sub(lambda match: values[int(match[1]) - 1], statement.sql)
        if self._new:
            drawn = ", ".join(f"{name} AS (SELECT uuidv7() AS id)" for name in self._new.values())
            sql = _WITH.sub(f"WITH {drawn}, ", sql, count=1)
        return f"{sql.strip().rstrip(';')};"

    def _value(self, text: str | None) -> str:
        if text is None:
            return "NULL"
        if _UUID.fullmatch(text):
            return self._id(text)
        if _ARRAY.fullmatch(text):
            return f"ARRAY[{', '.join(self._id(one) for one in text[1:-1].split(','))}]"
        if self._drawn.key not in text:
            return self._defined(text)
        parts = [self._defined(part) if part else "" for part in text.split(self._drawn.key)]
        joined = " || :key::text || ".join(parts).strip("| ")
        return f"({joined})"

    def _id(self, text: str) -> str:
        if choice := self._choices.get(text):
            return choice.expression
        if self._new is None:
            return "uuidv7()"
        name = self._new.setdefault(text, f"new_{len(self._new) + 1}")
        return f"(SELECT id FROM {name})"  # noqa: S608 - the name is ours

    def _defined(self, text: str) -> str:
        name = f"p{len(self.definitions) + 1}"
        self.definitions[name] = text
        return f":{name}"
