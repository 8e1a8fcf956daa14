"""The end of a log is readable, whatever wrote the log."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from slipway.local.logtail import last_error, tail


def test_json_lines_become_sentences(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    frames = [{"filename": "a.py", "lineno": 1}, {"filename": "b.py", "lineno": 2}]
    failure = {"exc_type": "ValueError", "exc_value": "no", "frames": frames}
    lines = [
        json.dumps({"event": "started", "level": "info", "port": 1, "timestamp": "now"}),
        "plain words",
        json.dumps(["no", "event"]),
        json.dumps({"event": "failed", "level": "error", "exception": [failure]}),
        json.dumps({"event": "failed", "level": "error", "exception": "Traceback"}),
    ]
    log.write_text("\n".join(lines))
    assert tail(log).splitlines() == [
        "    info: started port=1",
        "    plain words",
        '    ["no", "event"]',
        "    error: failed [ValueError: no, b.py:2]",
        "    error: failed [Traceback]",
    ]
    assert tail(log, lines=1) == "    error: failed [Traceback]"


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("x" * 300_000 + "\nlast\n")
    assert tail(log) == "    last"


def test_without_a_log(tmp_path: Path) -> None:
    assert tail(tmp_path / "none") == "    (no log)"
    (tmp_path / "empty").touch()
    assert tail(tmp_path / "empty") == "    (empty)"


def test_the_last_error_is_found_behind_other_lines(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    lines = [
        json.dumps({"event": "first", "level": "error"}),
        json.dumps({"event": "second", "level": "error", "timestamp": "noon", "n": 1}),
        json.dumps({"event": "fine", "level": "info"}),
        "plain words",
    ]
    log.write_text("\n".join(lines))
    assert last_error(log) == "noon error: second n=1"
    log.write_text("plain words")
    assert last_error(log) is None
    assert last_error(tmp_path / "none.log") is None


@pytest.mark.parametrize(
    ("written", "is_shown"),
    [
        ("2026-01-02T03:04:04.9Z", False),
        ("2026-01-02T03:04:05Z", True),
        ("2026-01-02T03:04:04", True),  # of no zone
        ("noon", True),
        ("", True),
    ],
)
def test_an_error_is_left_out_only_if_its_time_is_known_to_be_before(
    tmp_path: Path, written: str, is_shown: bool
) -> None:
    log = tmp_path / "x.log"
    log.write_text(json.dumps({"event": "e", "level": "error", "timestamp": written}))
    found = last_error(log, since=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert (found is not None) is is_shown
