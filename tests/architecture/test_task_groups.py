"""What runs for long must not end unnoticed."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [*ROOT.glob("libs/chassis/src/**/*.py"), *ROOT.glob("services/*/src/**/*.py")]


def test_the_processes_use_no_group_that_passes_over_what_a_library_cancels():
    """asyncio's own group goes on without a task whose awaited future a library cancelled."""
    assert SOURCES
    found = [
        str(file.relative_to(ROOT))
        for file in SOURCES
        if re.search(r"\basyncio\.TaskGroup\(\)", file.read_text(encoding="utf-8"))
    ]
    assert not found, "use chassis.cancellation.GuardedTaskGroup"
