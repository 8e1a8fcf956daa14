"""Finds in a process's log why it could not export its spans."""

import json
from datetime import datetime
from pathlib import Path

from slipway.local.logtail import last_lines

_EXPORTER = "opentelemetry.exporter"


def export_error(log: Path, *, since: datetime) -> str | None:
    """Return the newest error of the exporter of spans in a process's log.

    The exporter logs the cause of each failure as a warning, then an error without the cause. So a
    warning is preferred.

    Args:
        log: the log of the process, in lines of JSON; it may be missing.
        since: ignores older errors.

    Returns:
        The text of the error, or None if the exporter logged none.
    """
    found: dict[str, str] = {}
    for line in last_lines(log):
        try:
            entry = json.loads(line)
            newer = datetime.fromisoformat(entry["timestamp"]) >= since
            if newer and entry["logger"].startswith(_EXPORTER):
                found[entry["level"]] = entry["event"]
        except (ValueError, LookupError, TypeError, AttributeError):
            continue  # a line that is not a log entry, such as a stack trace at the start
    return found.get("warning") or found.get("error")
