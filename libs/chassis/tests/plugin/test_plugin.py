"""The plugin fails tests that would pass in silence: lost exceptions, blocking calls."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def report() -> str:
    """Run the bad tests once, in a process of their own, with this repository's settings."""
    bad = Path(__file__).with_name("bad_tests.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:cov", "-rA", str(bad)],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def outcomes(report: str, test: str) -> list[str]:
    """Give what the summary says of a test: a test may pass, and its teardown fail."""
    summary = [line.split(" - ")[0].split() for line in report.splitlines()]
    return [words[0] for words in summary if words and words[-1].endswith(f"bad_tests.py::{test}")]


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
def test_the_right_tests_fail(report: str, test: str, expected: list[str]):
    assert sorted(outcomes(report, test)) == sorted(expected)


@pytest.mark.parametrize(
    "text",
    [
        "exceptions that nobody handled: Task exception was never retrieved: ValueError('lost')",
        "ZeroDivisionError",
        "BlockingError: Blocking call to ",
        "define the fixture service_directory in the service's conftest.py",
    ],
)
def test_the_reason_is_said(report: str, text: str):
    assert text in report
