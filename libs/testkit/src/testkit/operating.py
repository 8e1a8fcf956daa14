"""An operator's commands against a running system, as processes."""

import asyncio
import os
import sys
from pathlib import Path


async def operate(
    state: Path, *arguments: str, password: str, login: str = "admin@example.com"
) -> tuple[int | None, str, str]:
    """Run `slipway` with a log-in.

    Args:
        state: the directory of the system.
        arguments: the command and its options.
        password: of the account.
        login: the account's address.

    Returns:
        its exit status, its output and its errors.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipway", *arguments, "--login", login),
        env={**os.environ, "SLIPWAY_STATE_DIR": str(state)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate(f"{password}\n".encode())
    return process.returncode, out.decode(), errors.decode()
