"""The README's commands work exactly as they are written."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's block needs curl")
async def test_the_block_of_curl_commands_shows_the_order_and_its_notification(system):
    (block,) = re.findall(r"```bash\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    script = "set -euo pipefail\n" + block.replace("http://127.0.0.1:8000", system.gateway_url)
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    decoder, text, answers = json.JSONDecoder(), output.decode().strip(), []
    while text:
        answer, end = decoder.raw_decode(text)
        answers.append(answer)
        text = text[end:].lstrip()
    _, order, notifications = answers
    assert order["status"] == "placed"
    assert [item["data"]["order_id"] for item in notifications["items"]] == [order["id"]]
