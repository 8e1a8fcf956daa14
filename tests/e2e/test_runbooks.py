"""What the runbooks say to look at can be looked at: their reading commands and statements work."""

import asyncio
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from monitoring.prometheus import all_alerts
from slipway.cli import COMMANDS
from slipway.operate.seed import DEMO_PASSWORD
from testkit.documented import calls_of, code_of

from .fault_table import FAULTS

DOCS = Path(__file__).parents[2] / "docs"
RUNBOOKS = sorted((DOCS / "runbooks").glob("*.md"))
# "…" and words in capitals stand for what an operator knows.
PLACEHOLDER = re.compile(r"…|NUMBER|PID|\bID\b|https?://")
READING = re.compile(
    r"(status|topics diff|dead-letters list|jobs list|audit verify|replay \w+ --status)"
)
WITHOUT_LOG_IN = ("status", "topics")
SQL = re.compile(r"^ *```sql\n(.*?)^ *```|`(SELECT [^`]+)`", re.DOTALL | re.MULTILINE)


def reading_commands():
    found = {
        " ".join(arguments).replace("SERVICE", "orders")
        for page in RUNBOOKS
        for code in code_of(page.read_text(encoding="utf-8"))
        for arguments in calls_of(code, "slipway", COMMANDS)
    }
    return sorted(one for one in found if READING.match(one) and not PLACEHOLDER.search(one))


def reading_statements():
    found = {
        statement.strip()
        for page in RUNBOOKS
        for block, span in SQL.findall(page.read_text(encoding="utf-8"))
        for statement in re.sub("--.*", "", block or span).split(";")
        if statement.strip()
    }
    return sorted(one for one in found if not PLACEHOLDER.search(one) and "terminate" not in one)


@pytest.mark.parametrize("command", reading_commands())
async def test_a_reading_command_of_a_runbook_works(system, command):
    arguments = command.split()
    worker = system.process("orders-worker").spec.environment
    kafka = {name: value for name, value in worker.items() if name.startswith("KAFKA_")}
    login = () if command.startswith(WITHOUT_LOG_IN) else ("--login", "admin@example.com")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipway", *arguments, *login),
        env={**os.environ, **kafka, "SLIPWAY_STATE_DIR": str(system.state.path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(f"{DEMO_PASSWORD}\n".encode())
    assert process.returncode == 0, output.decode()


@pytest.mark.parametrize("statement", reading_statements())
async def test_a_reading_statement_of_a_runbook_works(system, postgres, statement):
    runtime = system.process("orders-worker").spec.environment["DATABASE_URL"]
    server = postgres.url().rpartition("/")[0]
    connection = await asyncpg.connect(f"{server}{urlsplit(runtime).path}")
    try:
        await connection.execute("SET search_path = orders")
        await connection.fetch(statement)
    finally:
        await connection.close()


def test_the_runbooks_have_commands_and_statements_that_read():
    assert len(reading_commands()) > 5
    assert len(reading_statements()) > 5


def test_the_guide_lists_each_fault_with_the_alerts_that_must_fire():
    guide = (DOCS / "guides/monitoring.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \|[^|]*\|([^|]*)\|$", guide, re.MULTILINE)
    listed = {name: frozenset(re.findall(r"`(\w+)`", alerts)) for name, alerts in rows}
    assert listed == {name: fault.fires for name, fault in FAULTS.items()}


def test_the_faults_name_alerts_that_exist():
    named = {alert for fault in FAULTS.values() for alert in fault.fires | fault.also}
    assert named <= {alert.name for alert in all_alerts()}
