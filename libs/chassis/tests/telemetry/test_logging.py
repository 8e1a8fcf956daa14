"""Log lines are JSON with trace and request id, from structlog and logging, without secrets."""

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from pydantic import SecretStr

from chassis.telemetry import configure_logging
from chassis.telemetry.request_lines import RequestLines

type Capture = pytest.CaptureFixture[str]
type Lines = Callable[[], list[dict[str, Any]]]
FULL = Path("/dev/full")
SECRET = "hunter2-hunter2"
QUIET = ("aiokafka", "uvicorn", "httpx", "httpcore", "websockets", "sqlalchemy")
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Restore logging after the test: its configuration is global to the process."""
    root, config = logging.getLogger(), structlog.get_config()
    handlers = root.handlers[:]
    levels = {logger: logger.level for logger in [root, *map(logging.getLogger, QUIET)]}
    yield
    root.handlers[:] = handlers
    for logger, level in levels.items():
        logger.setLevel(level)
    structlog.configure(**config)


def configured(capsys: Capture, level: str = "INFO") -> Lines:
    """Configure logging inside the test, because pytest replaces standard output before it."""
    configure_logging(process="orders", level=level, log_format="json")
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def logger() -> Any:
    return structlog.get_logger("a.logger")


def test_a_line_is_one_json_object(capsys: Capture):
    lines = configured(capsys)
    logger().info("it\nhappened", number=5, text="é\x00\ud800")
    logging.getLogger("library").warning("and %s", "this")
    ours, theirs = lines()
    assert ours["event"] == "it\nhappened"
    assert (ours["level"], ours["logger"], ours["process"]) == ("info", "a.logger", "orders")
    assert ours["timestamp"].endswith("Z")
    assert ours["number"] == 5
    assert (theirs["event"], theirs["level"], theirs["logger"]) == (
        "and this",
        "warning",
        "library",
    )
    assert theirs["process"] == "orders"


@pytest.mark.parametrize(
    "name",
    ["uvicorn.error", "websockets.client", "httpcore.http11", "aiokafka.conn", "sqlalchemy.engine"],
)
def test_libraries_that_write_frames_and_rows_at_debug_do_not_even_there(
    capsys: Capture, name: str
):
    lines = configured(capsys, "DEBUG")
    logging.getLogger(name).debug("< TEXT '%s'", JWT)
    logging.getLogger("library").debug("ours")
    assert [line["event"] for line in lines()] == ["ours"]


def test_a_line_carries_trace_and_request_id(capsys: Capture):
    lines = configured(capsys)
    tracer = TracerProvider().get_tracer("t")
    with (
        structlog.contextvars.bound_contextvars(request_id="r-1"),
        tracer.start_as_current_span("s") as span,
    ):
        logger().info("ours")
        logging.getLogger("library").warning("theirs")
    logger().info("outside")
    ours, theirs, outside = lines()
    context = span.get_span_context()
    for line in (ours, theirs):
        assert line["request_id"] == "r-1"
        assert line["trace_id"] == f"{context.trace_id:032x}"
        assert line["span_id"] == f"{context.span_id:016x}"
    assert "trace_id" not in outside


def test_levels_below_the_one_asked_for_are_not_written(capsys: Capture):
    lines = configured(capsys)
    logger().debug("quiet")
    logging.getLogger("library").debug("quiet")
    logging.getLogger("aiokafka.consumer").info("chatter")
    assert lines() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"password": SECRET},
        {"access_token": SECRET},
        {"DATABASE_PASSWORD": SECRET},
        {"headers": {"Authorization": SECRET, "set-cookie": SECRET}},
        {"a": {"b": {"refresh_token": SECRET}}},
        {"items": [{"client_secret": SECRET}]},
        {"items": ({"x": [{"api_key": SECRET}]},)},
        {"credentials": [SECRET]},
        {"value": SecretStr(SECRET)},
        {"url": f"postgresql://orders:{SECRET}@db:5432/slipway"},
        {"url": f"postgresql://db/slipway?user=orders&password={SECRET}&sslpassword={SECRET}"},
        {"urls": [f"valkey://:{SECRET}@cache/0"]},
        {"header": f"Bearer {SECRET}"},
        {"header": ["authorization", f"bearer {SECRET}"]},
        {"header": f"x BEARER {SECRET}"},
        {"header": f"bAsIc {SECRET.replace('-', '')}"},
    ],
    ids=str,
)
def test_a_secret_is_never_written(capsys: Capture, fields: dict[str, Any]):
    lines = configured(capsys)
    logger().info("fields", **fields)
    logging.getLogger("library").error("theirs: %s", fields.get("url", ""), extra=fields)
    written = lines()
    assert [line["level"] for line in written] == ["info", "error"]
    assert not any(secret in json.dumps(written) for secret in (SECRET, SECRET.replace("-", "")))


def test_a_token_in_a_text_is_never_written(capsys: Capture):
    lines = configured(capsys)
    logger().info(f"refused {JWT} of x", note=f"({JWT})")
    [line] = lines()
    assert JWT not in json.dumps(line)
    assert line["event"] == "refused [redacted] of x"


def test_the_secret_of_an_api_key_in_a_text_is_never_written(capsys: Capture):
    lines = configured(capsys)
    secret = "0123456789abcdef" * 4
    key = f"slipway_a1b2c3d4e5f6_{secret}"
    logger().info("ended", path=f"/api/v1/api-keys/{key}", keys=[key])
    logging.getLogger("library").warning("refused %s", key)
    written = lines()
    assert secret not in json.dumps(written)
    assert written[0]["path"] == "/api/v1/api-keys/slipway_a1b2c3d4e5f6_[redacted]"


def fail(password: str) -> None:
    message = f"can't reach postgresql://orders:{SECRET}@db with Bearer {SECRET}"
    raise ConnectionError(message, password[:0])


def test_an_exception_is_written_without_secrets_and_locals(capsys: Capture):
    lines = configured(capsys)
    try:
        fail(SECRET)
    except ConnectionError as error:
        logger().exception("it failed")
        logger().error("it failed", exc_info=error)
        logging.getLogger("library").exception("it failed")
    written = lines()
    for line in written:
        [exception] = line["exception"]
        assert exception["exc_type"] == "ConnectionError"
        assert "can't reach postgresql://[redacted]@db" in exception["exc_value"]
        assert [frame["name"] for frame in exception["frames"]][-1] == "fail"
    assert len(written) == 3
    assert SECRET not in json.dumps(written)


def fail_with_row() -> None:
    """Fail as a statement does that breaks a rule of its table, in the midst of another error."""
    error = asyncpg.NotNullViolationError('null value in column "x" of relation "users"')
    error.detail = f"Failing row contains (1, {SECRET}@example.com,\n\n{SECRET})."
    try:
        raise error
    except asyncpg.NotNullViolationError as cause:
        message = f"{cause}\n[SQL: INSERT INTO users]"
        raise ConnectionError(message) from cause


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_the_rows_that_postgresql_quotes_in_an_error_are_not_written(
    capsys: Capture, log_format: str
):
    configure_logging(process="orders", level="INFO", log_format=log_format)
    try:
        fail_with_row()
    except ConnectionError as error:
        logger().exception("it failed")
        logger().error("it failed", error=f"x: {error}")
        logging.getLogger("library").exception("it failed")
    text = capsys.readouterr().out
    assert SECRET not in text
    assert text.count("null value in column") == 5
    assert text.count("[SQL: INSERT INTO users]") == 3
    assert text.count("fail_with_row") >= 4


@pytest.mark.skipif(not FULL.exists(), reason="Linux has this file of a full disk")
def test_a_line_that_does_not_fit_on_the_disk_is_dropped(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    lines = configured(capsys)
    full = FULL.open("w")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        for _ in range(1000):  # more than a buffer
            logger().info("dropped")
        requests = RequestLines("orders")
        requests._waiting.append("dropped\n")
        requests.flush()
    with contextlib.suppress(OSError):
        full.close()
    logger().info("written")
    assert [line["event"] for line in lines()] == ["written"]


def test_what_only_looks_like_a_secret_stays(capsys: Capture):
    lines = configured(capsys)
    logger().info("see http://host:8000/a@b and 10:30@noon, basic idea, bearer", path="/a:b@c")
    [line] = lines()
    assert line["event"] == "see http://host:8000/a@b and 10:30@noon, basic idea, bearer"
    assert line["path"] == "/a:b@c"


def test_the_console_shows_no_secret_either(capsys: Capture):
    configure_logging(process="orders", level="INFO", log_format="console")
    logger().info("hello", password=SECRET, url=f"a://b:{SECRET}@c")
    try:
        fail(SECRET)
    except ConnectionError:
        logger().exception("it failed")
        logging.getLogger("library").exception("it failed")
    text = capsys.readouterr().out
    assert "hello" in text
    assert text.count("Traceback") == 2
    assert SECRET not in text
