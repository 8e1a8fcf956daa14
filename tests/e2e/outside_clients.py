"""Real HTTP clients of other languages get what they ask for; run by `make outside-check`."""

import asyncio
import shutil
from pathlib import Path

import pytest

from .callers import account, product_for_all

PROGRAMS = Path(__file__).parents[2] / "deploy" / "clients" / "real"
# `go run` compiles the standard library first.
SECONDS = 500
COMMANDS = {
    "curl": ("bash", "calls.sh"),
    "node": ("node", "calls.mjs"),
    "java": ("java", "Calls.java"),
    "go": ("go", "run", "calls.go"),
}


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_real_client_gets_what_it_asks_for(system, client, name):
    assert shutil.which(name), f"{name} is missing: install it, or run the others with PYTEST_ARGS"
    _, token = await account(client)
    process = await asyncio.create_subprocess_exec(
        *COMMANDS[name],
        *(system.gateway_url, token, await product_for_all(client)),
        cwd=PROGRAMS,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(SECONDS):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert b"all calls are as expected" in output
