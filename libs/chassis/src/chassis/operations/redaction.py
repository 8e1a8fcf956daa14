"""Shows the structure of a message without its texts.

A payload may hold personal data and secrets, and this package does not know in which fields. So no
text is shown unless it has the form of an id or a time. The message's error and the structure must
be enough to find out what went wrong.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_HARMLESS = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})"
)
_SHOWN_HEADERS = frozenset({"content-type", "traceparent", "tracestate"})
_ATTRIBUTE = "ce_"
_MAX_NAME = 100
_DEPTH = 20

type Header = tuple[str, str | None]


def redacted_payload(payload: bytes | None) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the structure of a payload: names, numbers, ids and times; other texts by length.

    None is a tombstone.
    """
    if payload is None:
        return None
    try:
        value = json.loads(payload, parse_constant=str)
    except (ValueError, RecursionError):
        return f"<{len(payload)} bytes that are not JSON>"
    return _redacted(value, _DEPTH)


def redacted_headers(headers: Iterable[Header]) -> Mapping[str, str]:
    """Return the CloudEvents attributes as they are, and other headers by length."""
    return {
        _name(name): _header(name, value or "")  # the last of a name, as it is read
        for name, value in headers
    }


def _header(name: str, value: str) -> str:
    if name.startswith(_ATTRIBUTE) or name in _SHOWN_HEADERS:
        return _printable(value)
    return _length(value)


def _redacted(value: Any, depth: int) -> Any:  # noqa: ANN401 - likewise
    if isinstance(value, str):
        return value if _HARMLESS.fullmatch(value) else _length(value)
    if isinstance(value, (list, dict)) and not depth:
        return f"<{len(value)} items>"
    if isinstance(value, list):
        return [_redacted(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {_name(name): _redacted(item, depth - 1) for name, item in value.items()}
    return value


def _name(name: str) -> str:
    """Return a field's name, cut to 100 characters: the contract sets it, so it is no secret."""
    return _printable(name)[:_MAX_NAME]


def _length(text: str) -> str:
    return f"<{len(text)} characters>"


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
