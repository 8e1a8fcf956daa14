"""Clients generated from the document are complete, and compile and work: `make outside-check`."""

import asyncio
from pathlib import Path

from .callers import account

ROOT = Path(__file__).parents[2]
CHECK = ROOT / "deploy" / "clients" / "check.sh"
DOCUMENT = ROOT / "services" / "gateway" / "openapi.json"


async def test_a_generated_client_in_python_and_one_in_typescript_make_their_calls(system, client):
    _, token = await account(client)
    process = await asyncio.create_subprocess_exec(
        *(CHECK, DOCUMENT, system.gateway_url, token),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(500):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert output.count(b"both calls are as documented") == 2
