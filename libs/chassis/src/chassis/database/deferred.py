"""Several statements sent as one, to save round trips.

asyncpg waits for the response of each statement before it sends the next. The writes at the end of
a unit of work need none of their responses, so they become parts of one statement.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

_PARAMETER = re.compile(r"\$(\d+)")
_COMBINATIONS = 200


class Deferred(NamedTuple):
    """A statement that writes, with its arguments.

    Attributes:
        sql: the statement.
        arguments: the values of its parameters.
        name: what statements after it call the rows that it returns; None: they don't read them.
    """

    sql: str
    arguments: tuple[Any, ...]
    name: str | None = None


def as_one(statements: Sequence[Deferred]) -> tuple[str, list[Any]]:
    """Return one statement with the effect of all, and its arguments.

    All but the last become data-modifying table expressions, which PostgreSQL runs to their end
    whether or not anything reads from them (its manual, section 7.8.4). Their number of arguments
    must be that of the parameters in their SQL.
    """
    sql = _joined(tuple((each.sql, len(each.arguments), each.name) for each in statements))
    return sql, [argument for each in statements for argument in each.arguments]


@lru_cache(maxsize=_COMBINATIONS)
def _joined(statements: tuple[tuple[str, int, str | None], ...]) -> str:
    # The text is the same for the same statements, so each connection prepares it once.
    *parts, last = _renumbered(statements)
    if not parts:
        return last
    names = (name or f"write_{number}" for number, (_, _, name) in enumerate(statements, start=1))
    named = ", ".join(f"{name} AS ({sql})" for name, sql in zip(names, parts, strict=False))
    return f"WITH {named} {last}"


def _renumbered(statements: tuple[tuple[str, int, str | None], ...]) -> list[str]:
    before = 0

    def shifted(found: re.Match[str]) -> str:
        return f"${int(found[1]) + before}"

    renumbered = []
    for sql, count, _ in statements:
        renumbered.append(_PARAMETER.sub(shifted, sql))
        before += count
    return renumbered
