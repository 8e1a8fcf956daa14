"""A module whose import does not end, to test a process during its imports."""

import asyncio
import os
import sys
from pathlib import Path

# A run in the background of a shell inherits a SIGINT that is ignored.
_TEXT = """import signal, time
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
print("importing", flush=True)
time.sleep(3600)
"""


async def process_while_importing(
    directory: Path, module: str, *arguments: str
) -> asyncio.subprocess.Process:
    """Start ``python -m …``, and return once it imports `module`, where it waits.

    Args:
        directory: an empty directory for the module that replaces the real one.
        module: a top-level module that the process imports.
        arguments: the arguments of ``python -m``.
    """
    await asyncio.to_thread((directory / f"{module}.py").write_text, _TEXT, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        env={**os.environ, "PYTHONPATH": str(directory)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    if process.stdout is None or await process.stdout.readline() != b"importing\n":
        message = f"the process did not import {module}"
        raise RuntimeError(message)
    return process
