"""What a process that serves does not import, because each start would pay for it."""

import subprocess
import sys

PROGRAM = """
import sys
import chassis.run, chassis.service_processes
print(*(name for name in sys.argv[1:] if name in sys.modules))
"""


def test_a_process_that_serves_imports_no_migration_library():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "alembic", "mako", "fastapi"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["fastapi"]
