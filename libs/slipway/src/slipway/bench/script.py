"""A captured transaction as a pgbench script that makes a new one of its kind each time.

What two orders can't share is drawn anew: their products and customer from the same sets as in the
load, the key by which a repetition would be known, and new ids. All else is sent as it was
captured, as a parameter again.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slipway.bench.statements import Statement

_PLACEHOLDER = re.compile(r"\$(\d+)")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ARRAY = re.compile(rf"\{{{_UUID.pattern}(?:,{_UUID.pattern})*\}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Ids of which each transaction takes one at random.

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
        """SQL for the chosen id."""
        return f"('{{{','.join(self.ids)}}}'::uuid[])[:{self.variable}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What is drawn anew.

    Attributes:
        choices: of ids.
        key: a number in the captured transaction that must not come twice, as text.
    """

    choices: Sequence[Choice]
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """For pgbench.

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

    def prelude(self) -> list[str]:
        """The commands that draw."""
        digits = len(self._drawn.key)
        draws = [f"\\set key random({10 ** (digits - 1)}, {10**digits - 1})"]
        return draws + [f"\\set {c.variable} random(1, {len(c.ids)})" for c in self._drawn.choices]

    def statement(self, statement: Statement) -> str:
        """SQL with pgbench's variables for its parameters."""
        values = [self._value(text) for text in statement.parameters]
        sql = _PLACEHOLDER.sub(lambda match: values[int(match[1]) - 1], statement.sql)
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
        choice = self._choices.get(text)
        return "uuidv7()" if choice is None else choice.expression

    def _defined(self, text: str) -> str:
        name = f"p{len(self.definitions) + 1}"
        self.definitions[name] = text
        return f":{name}"
