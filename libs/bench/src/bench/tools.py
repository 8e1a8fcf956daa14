"""The programs that a measurement needs in addition to wheels: Debian's wrk, HAProxy and nginx."""

import os
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, create_subprocess_exec
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from slipway.console import Reporter
from slipway.errors import SlipwayError

# Servers are in sbin, which is not on every user's path.
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
MODULES = ("libnginx-mod-http-lua", "lua-cjson")
"""Debian's packages that nginx loads: its Lua, and JSON for that."""

_DPKG = Path("/var/lib/dpkg/info")
_LINES = 15
_NUMBER = re.compile(r"[0-9]+\.[0-9][^\s,]*")


def find(name: str, *, path: str = _PATH) -> Path:
    """Return the path of a program, or raise SlipwayError if it is missing."""
    found = shutil.which(name, path=path)
    if found is None:
        message = f"The program {name} is missing. Install it (Debian: apt-get install {name})."
        raise SlipwayError(message)
    return Path(found)


async def install_missing(names: Sequence[str], reporter: Reporter, *, path: str = _PATH) -> None:
    """Install Debian's packages of these names, if they are missing and root asks.

    A package counts as installed if there is a program of its name. Those of `MODULES` have none:
    they count as installed if dpkg knows their files.
    """
    missing = [name for name in names if not _is_installed(name, path)]
    if not missing:
        return
    apt = shutil.which("apt-get", path=path)
    if apt is None or os.geteuid() != 0:
        packages = " ".join(missing)
        message = f"Missing: {', '.join(missing)}. Install with `sudo apt-get install {packages}`."
        raise SlipwayError(message)
    with reporter.step(f"apt-get install {' '.join(missing)}"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        await output_of(apt, "update", "-qq", environment=environment)
        arguments = ("install", "-y", "-qq", "--no-install-recommends", *missing)
        await output_of(apt, *arguments, environment=environment)


def _is_installed(name: str, path: str) -> bool:
    if name in MODULES:
        return any(_DPKG.glob(f"{name}.list")) or any(_DPKG.glob(f"{name}:*.list"))
    return shutil.which(name, path=path) is not None


async def output_of(
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    allowed: Collection[int] = (0,),
) -> str:
    """Run a program and return its output; raise SlipwayError if it fails."""
    process = await create_subprocess_exec(
        *command, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode(errors="replace")
    if process.returncode not in allowed:
        said = "\n".join(text.splitlines()[-_LINES:])
        message = (
            f"{Path(command[0]).name} exited with status {process.returncode}. Its output:\n{said}"
        )
        raise SlipwayError(message)
    return text


async def version_of(name: str, *, path: str = _PATH) -> str:
    """Return the version that a program prints for `-v`; wrk then exits with status 1."""
    said = await output_of(find(name, path=path), "-v", allowed=(0, 1))
    number = _NUMBER.search(said)
    return said.strip() if number is None else number[0]
