"""The end of a log is readable, whatever wrote the log."""

import json
from pathlib import Path

from slipway.local.logtail import tail


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
