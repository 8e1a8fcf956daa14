"""A process that gets SIGTERM before it has begun exits at once, also as PID 1."""

import pytest

from testkit.slow_import import process_while_importing


@pytest.mark.parametrize(("kind", "status"), [("api", 0), ("worker", 0), ("migrate", 143)])
async def test_sigterm_during_the_imports_ends_a_services_process(tmp_path, kind, status):
    process = await process_while_importing(tmp_path, "asyncpg", "chassis.run", "probe", kind)
    process.terminate()  # a process without a handler would exit with -15, and as PID 1 not at all
    assert await process.wait() == status
