"""The end of a log, for people: a line of JSON becomes a sentence."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

_LINES = 15
_BYTES = 256 * 1024  # one line may hold a long stack trace
_WIDTH = 400
_ERRORS = ("error", "critical")
_SKIPPED = {"timestamp", "level", "event", "exception", "logger", "process", "trace_id", "span_id"}


def last_lines(path: Path) -> list[str]:
    """Return the lines at the end of a file, which may be large; none if it is missing."""
    try:
        with path.open("rb") as file:
            start = max(0, path.stat().st_size - _BYTES)
            file.seek(start)
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[1 if start else 0 :]  # the first line may be cut


def tail(path: Path, lines: int = _LINES) -> str:
    """Return the last lines of a file, indented; the file may be large or missing."""
    if not path.exists():
        return "    (no log)"
    found = last_lines(path)[-lines:]
    return "\n".join(f"    {_readable(line)[:_WIDTH]}" for line in found) or "    (empty)"


def last_error(path: Path, *, since: datetime | None = None) -> str | None:
    """Return the newest line with an error at the end of a log, with its time, as a sentence.

    Args:
        path: of the log.
        since: what is older is left out; None leaves out nothing.
    """
    for line in reversed(last_lines(path)):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") in _ERRORS:
            at = str(entry.get("timestamp", ""))
            return None if _is_before(at, since) else f"{at} {_readable(line)}".strip()[:_WIDTH]
    return None


def _is_before(timestamp: str, since: datetime | None) -> bool:
    try:
        return since is not None and datetime.fromisoformat(timestamp) < since
    except (ValueError, TypeError):  # not a time, or one without a zone
        return False


def _readable(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    if not isinstance(entry, dict) or "event" not in entry:
        return line
    level, event = entry.get("level", ""), entry["event"]
    fields = "".join(f" {name}={entry[name]}" for name in entry if name not in _SKIPPED)
    return f"{level}: {event}{fields}{_exception(entry.get('exception'))}"


def _exception(stack: Any) -> str:  # noqa: ANN401 - whatever a log line holds
    """Return the last exception of structlog's list, and where it was raised."""
    if not stack:
        return ""
    try:
        last = stack[0]
        frame = last["frames"][-1]
        place = f"{frame['filename']}:{frame['lineno']}"
        return f" [{last['exc_type']}: {last['exc_value']}, {place}]"
    except (LookupError, TypeError):
        return f" [{stack}]"
