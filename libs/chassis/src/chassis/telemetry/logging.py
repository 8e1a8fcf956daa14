"""Structured logs: one JSON object per line, with trace and request id, and secrets redacted."""

import contextlib
import functools
import json
import logging
import re
import sys
from collections.abc import Callable

import structlog
import structlog.tracebacks
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

from chassis.telemetry.levels import LEVELS, LOGGER

_SECRET_PARTS = (
    "password", "passphrase", "token", "secret", "authorization", "cookie", "credential",
    "api_key", "signing_key", "private_key",
)  # fmt: skip
_REDACTED = "[redacted]"
# Secrets inside texts: user and password in a URL, or a password in its query, credentials after
# Bearer or Basic, a JWT, the secret part of an API key; and the details of PostgreSQL's errors,
# which quote keys and whole rows, up to where SQLAlchemy or a traceback goes on (of a group, each
# line begins with a bar).
_IN_TEXTS = re.compile(
    r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)|(?<=password=)[^\s&'\"]+"
    r"|(?<=\bbearer )\S+|(?<=\bbasic )[A-Za-z0-9+/=]{8,}"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|(?<=_)[0-9a-f]{64}(?![0-9a-f])"
    r"|(?<=DETAIL:  )(?s:.*?)"
    r"(?=\n[ |]*\[SQL: |\n[ |]*\n[ |]*(?:The above|During handl)|\n[ |]*\+-|\Z)",
    re.IGNORECASE,
)
_API_KEY_SECRET_LENGTH = 64
_ADDRESS = re.compile(r"[^\s/@]+@[^\s/@]+\.[^\s/@]+")
# Without local variables: they may hold passwords and tokens that the redaction does not detect.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)

# One encoder for all lines: `json.dumps` with options makes one for each call.
_ENCODER = json.JSONEncoder(default=repr)


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Redact secrets by field name and by pattern, in what callers and exceptions bring."""
    return {key: _redacted(key, value) for key, value in event.items()}


@functools.lru_cache(maxsize=1024)
def _names_secret(key: str) -> bool:
    lower = key.lower()
    return any(part in lower for part in _SECRET_PARTS)


def _redacted(key: str, value: object) -> object:
    if _names_secret(key):
        return _REDACTED
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, dict):
        return {inner: _redacted(str(inner), item) for inner, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted("", item) for item in value]
    return value


def without_secrets(text: str) -> str:
    """Return a text with the secrets redacted that it shows by their form."""
    return _IN_TEXTS.sub(_REDACTED, text) if may_hold_secret(text) else text


def shown_path(path: str) -> str:
    """Return a request's path as logs and spans show it: without secrets and e-mail addresses.

    No path of ours has an address in it, but a client can send any.
    """
    if "@" in path:
        path = _ADDRESS.sub(_REDACTED, path)
    return without_secrets(path)


def may_hold_secret(text: str) -> bool:
    """Return False for most texts without a secret, at a twentieth of the cost of the pattern."""
    lower = text.lower()
    return (
        "://" in text
        or "DETAIL:  " in text
        or "eyj" in lower
        or "bearer" in lower
        or "basic" in lower
        or (len(text) > _API_KEY_SECRET_LENGTH and "_" in text)
    )


def shown_ids(span: trace.Span) -> tuple[str, str] | None:
    """Return the ids of a span's trace and of the span as log lines show them; None without."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


def _add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if ids := shown_ids(trace.get_current_span()):
        event["trace_id"], event["span_id"] = ids
    return event


def _as_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return _ENCODER.encode(event)


encoded: Callable[[object], str] = _ENCODER.encode
"""Returns a value as the JSON of a line."""


def note_user(user_id: object) -> None:
    """Add the caller's id to the log lines of this request, and to its last one."""
    structlog.contextvars.bind_contextvars(user_id=str(user_id))


def writes_json() -> bool:
    """Return whether this process writes its lines as JSON, as `configure_logging` set."""
    processors: list[Processor] = structlog.get_config()["processors"]
    return processors[-1] is _as_json


class _Output:
    """Writes our own lines to standard output without the standard library's handlers.

    The handlers would more than double the cost of a line, and each request writes one.

    Args:
        name: the logger's name.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        """Write one line."""
        write_lines(f"{line}\n")

    debug = info = warning = error = critical = exception = msg


def write_lines(lines: str) -> None:
    """Write whole lines to standard output; drop them if it takes none.

    A full disk, or a reader of the log that has ended, must not fail what logs: requests would get
    500, and consumers and jobs would stop.
    """
    with contextlib.suppress(OSError):
        sys.stdout.write(lines)
        sys.stdout.flush()


def configure_test_logging() -> None:
    """Print log lines to where pytest captures them, with tracebacks that read no source files."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            _TRACEBACKS,
            structlog.processors.JSONRenderer(),
        ]
    )


def configure_logging(*, process: str, level: str, log_format: str) -> None:
    """Send this process's logs, including the standard library's, to standard output.

    Args:
        process: the process's name, which each line carries.
        level: the lowest level that is written, until it is changed (chassis.telemetry.levels).
        log_format: ``json``, or ``console`` for people.
    """

    def add_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    json_lines = log_format == "json"
    # An exception is formatted before the redaction, which then covers its text, too; the console's
    # renderer prints a formatted one unchanged. What this process adds itself holds no secrets.
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _TRACEBACKS if json_lines else structlog.processors.format_exc_info,
        _redact,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_process,
        _add_trace,
    ]
    final = _as_json if json_lines else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[*shared, final],
        logger_factory=_Output,
        wrapper_class=LOGGER,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    LEVELS.configure(level)
    # At INFO these libraries add nothing to our own lines. At DEBUG they log requests, with tokens,
    # and rows.
    for name in ("aiokafka", "uvicorn", "httpx", "httpcore", "websockets", "sqlalchemy"):
        logging.getLogger(name).setLevel("WARNING")
