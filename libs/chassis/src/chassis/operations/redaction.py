"""Shows what a message is made of without what it says.

A payload may hold personal data and secrets, and this package does not know which fields do. So no
text is shown, unless its form says that it is an id or a time: what broke is told by the message's
error, and by the structure.
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
    """Give the structure of a payload: names, numbers, ids and times as they are, texts by length.

    None is a tombstone.
    """
    if payload is None:
        return None
    try:
        value = json.loads(payload, parse_constant=str)
    except (ValueError, RecursionError):
        return f"<{len(payload)} bytes that are no JSON>"
    return _redacted(value, _DEPTH)


def redacted_headers(headers: Iterable[Header]) -> Mapping[str, str]:
    """Give the attributes of the CloudEvent, and of other headers the length."""
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
    """A name of a field is the contract's, not a person's; a wild one is cut."""
    return _printable(name)[:_MAX_NAME]


def _length(text: str) -> str:
    return f"<{len(text)} characters>"


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
