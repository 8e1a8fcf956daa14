"""Reads the statements of one transaction, with their parameters, from PostgreSQL's log."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from slipway.errors import SlipwayError

# The server's settings for the capture; the first two take effect at its next start.
LOG_SETTINGS = {"logging_collector": "on", "log_destination": "jsonlog", "log_rotation_size": "0"}
_BEGIN = re.compile(r"^\s*BEGIN\b", re.IGNORECASE)
_COMMIT = re.compile(r"^\s*COMMIT\b", re.IGNORECASE)
_EXTENDED = re.compile(r"^execute [^:]*: (?P<sql>.*)$", re.DOTALL)
_SIMPLE = re.compile(r"^statement: (?P<sql>.*)$", re.DOTALL)
_PARAMETER = re.compile(r"\$(\d+) = (NULL|'(?:[^']|'')*')(?:, |$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement.

    Attributes:
        sql: with `$1`, `$2` … for its parameters.
        parameters: as texts; None is NULL.
    """

    sql: str
    parameters: tuple[str | None, ...] = ()


def transaction_with(log: Iterable[str], marker: str) -> list[Statement]:
    """Return the only transaction in a JSON log that contains `marker`, from BEGIN to COMMIT.

    Raises:
        SlipwayError: the log has no such transaction, or more than one.
    """
    found: list[list[Statement]] = []
    open_ones: dict[int, list[Statement]] = {}
    for line in log:
        entry = json.loads(line)
        statement = _statement_of(entry.get("message", ""), entry.get("detail", ""))
        if statement is None:
            continue
        if _BEGIN.match(statement.sql):
            open_ones[entry["pid"]] = []
        current = open_ones.get(entry["pid"])
        if current is None:
            continue
        current.append(statement)
        if _COMMIT.match(statement.sql):
            del open_ones[entry["pid"]]
            if any(marker in one.sql for one in current):
                found.append(current)
    if len(found) != 1:
        message = (
            f"The server's log has {len(found)} transactions with `{marker}`, not one. Run again."
        )
        raise SlipwayError(message)
    return found[0]


def _statement_of(message: str, detail: str) -> Statement | None:
    if simple := _SIMPLE.match(message):
        return Statement(sql=simple["sql"])
    if extended := _EXTENDED.match(message):
        return Statement(sql=extended["sql"], parameters=_parameters(detail))
    return None


def _parameters(detail: str) -> tuple[str | None, ...]:
    return tuple(
        None if value == "NULL" else value[1:-1].replace("''", "'")
        for _, value in _PARAMETER.findall(detail)
    )
