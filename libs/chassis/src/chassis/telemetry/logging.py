"""Structured logs: one JSON object a line, with trace and request id, never with a secret."""

import functools
import logging
import re
import sys

import structlog
import structlog.tracebacks
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

_SECRET_PARTS = (
    "password", "passphrase", "token", "secret", "authorization", "cookie", "credential",
    "api_key", "signing_key", "private_key",
)  # fmt: skip
_REDACTED = "[redacted]"
# Secrets inside texts: the password in a URL, what follows Bearer or Basic, a JWT.
_IN_TEXTS = re.compile(
    r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"
    r"|(?<=\bbearer )\S+|(?<=\bbasic )[A-Za-z0-9+/=]{8,}"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*",
    re.IGNORECASE,
)
# Without local variables: they would carry passwords and tokens past the redaction.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Redact by names of fields and by the look of texts; runs last, on tracebacks too."""
    return {key: _redacted(key, value) for key, value in event.items()}


@functools.lru_cache(maxsize=1024)
def _names_secret(key: str) -> bool:
    lower = key.lower()
    return any(part in lower for part in _SECRET_PARTS)


def _redacted(key: str, value: object) -> object:
    if _names_secret(key):
        return _REDACTED
    if isinstance(value, str):
        return _IN_TEXTS.sub(_REDACTED, value)
    if isinstance(value, dict):
        return {inner: _redacted(str(inner), item) for inner, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted("", item) for item in value]
    return value


def _add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


class _Output:
    """Writes our own lines to standard output, past the standard library's handlers.

    They would more than double the cost of a line, and each request writes one.

    Args:
        name: of the logger.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        """Write one line."""
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    debug = info = warning = error = critical = exception = msg


def configure_test_logging() -> None:
    """Print log lines where pytest shows them, with tracebacks that read no source files."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            _TRACEBACKS,
            structlog.processors.JSONRenderer(),
        ]
    )


def configure_logging(*, process: str, level: str, log_format: str) -> None:
    """Send this process's logs, the standard library's too, to standard output.

    Args:
        process: the process's name, on each line.
        level: the lowest level that is written.
        log_format: ``json``, or ``console`` for people.
    """

    def add_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_process,
        _add_trace,
    ]
    final: list[Processor]
    if log_format == "json":
        final = [_TRACEBACKS, _redact, structlog.processors.JSONRenderer()]
    else:
        # The renderer takes an exception that is a text already, and so redacted, as it is.
        final = [structlog.processors.format_exc_info, _redact, structlog.dev.ConsoleRenderer()]
    structlog.configure(
        processors=[*shared, *final],
        logger_factory=_Output,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Their chatter at INFO says nothing that our own lines don't. At DEBUG they write what people
    # send, with tokens, and rows.
    for name in ("aiokafka", "uvicorn", "httpx", "httpcore", "websockets", "sqlalchemy"):
        logging.getLogger(name).setLevel("WARNING")
