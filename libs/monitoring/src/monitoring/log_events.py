"""Read the events that the source code logs.

An event's name is a literal, and its fields are keywords, so a syntax tree is enough to list them.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monitoring.metrics import NotLiteralError, product_sources

_LEVELS = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
    "critical": "critical",
}
_LOGGER = "log"
_MORE = "…"
_NOT_FIELDS = frozenset({"exc_info"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """One event, as one module logs it.

    Attributes:
        name: the field ``event`` of its lines.
        module: the module that logs it.
        levels: its levels, the lowest first.
        fields: the fields of its own, sorted; ``…`` for those that depend on the case.
    """

    name: str
    module: str
    levels: tuple[str, ...]
    fields: tuple[str, ...]


def logged_events(root: Path) -> list[LogEvent]:
    """Return the events of all packages below `root`, sorted by name and module.

    Args:
        root: the repository.

    Raises:
        NotLiteralError: the name of an event is not a literal.
    """
    found: dict[tuple[str, str], LogEvent] = {}
    for source in product_sources(root):
        for file in sorted(source.rglob("*.py")):
            module = ".".join(file.relative_to(source.parent).with_suffix("").parts)
            for event in _events_in(file, module):
                same = found.get((event.name, module))
                found[event.name, module] = event if same is None else _both(same, event)
    return [found[key] for key in sorted(found)]


def _events_in(file: Path, module: str) -> Iterator[LogEvent]:
    text = file.read_text(encoding="utf-8")
    if "structlog" not in text:
        return
    for node in ast.walk(ast.parse(text, str(file))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            method, owner = node.func.attr, node.func.value
            ours = isinstance(owner, ast.Name) and owner.id == _LOGGER
            if ours and (method in _LEVELS or method == "log"):
                yield _event_of(node, method, module, file)


def _event_of(call: ast.Call, method: str, module: str, file: Path) -> LogEvent:
    if method == "log":
        level, name, *_ = call.args
        levels = {
            part.attr.lower() for part in ast.walk(level) if isinstance(part, ast.Attribute)
        } & set(_LEVELS.values())
    else:
        name, *_ = call.args
        levels = {_LEVELS[method]}
    if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
        message = f"{file}:{call.lineno}: the name of a log event must be a literal, so that the "
        raise NotLiteralError(message + "documentation can list it.")
    fields = {keyword.arg or _MORE for keyword in call.keywords} - _NOT_FIELDS
    return LogEvent(
        name=name.value, module=module, levels=_sorted(levels), fields=tuple(sorted(fields))
    )


def _both(one: LogEvent, other: LogEvent) -> LogEvent:
    return LogEvent(
        name=one.name,
        module=one.module,
        levels=_sorted({*one.levels, *other.levels}),
        fields=tuple(sorted({*one.fields, *other.fields})),
    )


def _sorted(levels: set[str]) -> tuple[str, ...]:
    return tuple(level for level in dict.fromkeys(_LEVELS.values()) if level in levels)
