"""What a process does not import, because each start would pay for it."""

import subprocess
import sys

import pytest

SERVING = "import chassis.run, chassis.service_processes"
MIGRATING = """
import chassis.run, chassis.database.migrate, chassis.database.upgrading
from sqlalchemy.orm import DeclarativeBase
from chassis.audit import declare_audit_table
from chassis.database import Timestamped, new_id, service_metadata
from chassis.idempotency_table import declare_idempotency_table
from chassis.jobs import JobArguments, declare_job_tables
from chassis.messaging import declare_messaging_tables
"""


@pytest.mark.parametrize(
    ("program", "needed", "spared"),
    [
        pytest.param(SERVING, ["fastapi", "aiokafka"], ["alembic", "mako"], id="serves"),
        pytest.param(MIGRATING, ["alembic"], ["fastapi", "aiokafka", "joserfc"], id="migrates"),
    ],
)
def test_a_process_imports_only_what_it_needs(
    program: str, needed: list[str], spared: list[str]
) -> None:
    imported = "print(*(name for name in sys.argv[1:] if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\n{imported}", *needed, *spared],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == needed
