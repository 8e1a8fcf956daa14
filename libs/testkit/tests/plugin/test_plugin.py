"""The plugin fails tests that would pass silently: lost exceptions, blocking calls."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

type Reports = list[tuple[str, str, str]]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """Run the bad tests once, in a separate process, with this repository's settings.

    Return a test's name, its outcome and the reason. A test may pass and its teardown fail.
    """
    here, file = Path(__file__).parent, tmp_path_factory.mktemp("reports") / "reports.jsonl"
    options = ["-p", "no:cacheprovider", "-p", "no:cov", "-p", "live_reports"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(here / "bad_tests.py")],
        env={**os.environ, "PYTHONPATH": str(here), "LIVE_REPORTS": str(file)},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = file.read_text(encoding="utf-8").splitlines()
    return [tuple(json.loads(line)) for line in lines]


def outcomes(reports: Reports, test: str) -> list[str]:
    return [outcome for name, outcome, _ in reports if name == test]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("test_good", ["PASSED"]),
        ("test_lost", ["PASSED", "ERROR"]),
        ("test_lost_in_a_cycle", ["PASSED", "ERROR"]),
        ("test_after_lost", ["PASSED"]),
        ("test_error_in_callback", ["PASSED", "ERROR"]),
        ("test_blocking", ["FAILED"]),
        ("test_blocking_in_a_thread", ["PASSED"]),
        ("test_blocking_outside_a_coroutine", ["PASSED"]),
        ("test_never_awaited", ["FAILED"]),
        ("test_service_without_a_folder", ["ERROR"]),
    ],
)
def test_the_right_tests_fail(reports: Reports, test: str, expected: list[str]):
    assert sorted(outcomes(reports, test)) == sorted(expected)


@pytest.mark.parametrize(
    "text",
    [
        "exceptions that nobody handled: Task exception was never retrieved: ValueError('lost')",
        "ZeroDivisionError",
        "BlockingError: Blocking call to ",
        "Define it in the service's conftest.py",
    ],
)
def test_the_reason_is_reported(reports: Reports, text: str):
    assert any(text in reason for _, _, reason in reports)
