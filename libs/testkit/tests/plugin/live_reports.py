"""A plugin that writes each report of a run at once: a line of JSON in the file LIVE_REPORTS."""

import json
import os
from pathlib import Path

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when != "call" and report.passed:
        return
    outcome = report.outcome.upper() if report.when == "call" else "ERROR"
    name = report.nodeid.rpartition("::")[2]
    with Path(os.environ["LIVE_REPORTS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps([name, outcome, report.longreprtext]) + "\n")
