"""The guides' curl commands work exactly as they are written, with the README's variables."""

import asyncio
import os
import re
import shutil
import uuid
from pathlib import Path

import pytest

from slipway.operate.seed import DEMO_PASSWORD
from testkit.documented import code_of

from .conftest import PASSWORD
from .test_mail import verify_address

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
BLOCK = re.compile(r"^```\w*\n(curl .*?)^```", re.DOTALL | re.MULTILINE)
API = ("http://127.0.0.1:8000", "localhost:8000", "$api")
BLOCKS = [
    pytest.param(page.stem, block, id=f"{page.stem}-{number}")
    for page in sorted(GUIDES.glob("*.md"))
    for number, block in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
    if any(address in block for address in API)
]


async def token_for(page, system, client):
    if page == "announcements":
        return await client.login(email="admin@example.com", password=DEMO_PASSWORD)
    email = f"{uuid.uuid4().hex}@example.com"
    await client.register(email=email, password=PASSWORD, full_name="Ada Lovelace")
    if page == "api-keys":
        await verify_address(system, client, email)
    return await client.login(email=email, password=PASSWORD)


def test_every_guide_that_calls_the_api_with_curl_has_its_commands_tested():
    calls = {
        page.stem
        for page in GUIDES.glob("*.md")
        for code in code_of(page.read_text(encoding="utf-8"))
        if "curl" in code and any(address in code for address in API)
    }
    assert calls == {block.values[0] for block in BLOCKS}


@pytest.mark.skipif(shutil.which("curl") is None, reason="the guides' commands need curl")
@pytest.mark.parametrize(("page", "block"), BLOCKS)
async def test_the_curl_command_of_a_guide_succeeds(system, client, page, block):
    tokens = await token_for(page, system, client)
    given = {
        "api": f"{system.gateway_url}/api/v1",
        "json": "Content-Type: application/json",
        "token": tokens.access_token,
    }
    script = f"set -euo pipefail\n{block}"
    for address in API[:2]:
        script = script.replace(address, system.gateway_url)
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        env={**os.environ, **given},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert b'"errors"' not in output
