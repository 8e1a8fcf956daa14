"""What the gateway's process imports: it holds tens of thousands of connections beside it."""

import subprocess
import sys


def test_the_gateway_imports_no_database() -> None:
    """SQLAlchemy and what the chassis builds on it would take 27 MB of each gateway process."""
    program = """
import sys
import gateway.app
print(*sorted({"sqlalchemy", "asyncpg", "alembic"} & sys.modules.keys()))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.strip() == ""
