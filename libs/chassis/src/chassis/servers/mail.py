"""A mail sink: takes every message by SMTP, keeps it in a maildir, and delivers nothing."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from chassis.servers.base import LocalServer

_PROGRAM = Path(__file__).with_name("sink.py")


class MailSink(LocalServer):
    """An SMTP server that delivers nothing."""

    name = "mail"

    @property
    def messages(self) -> Path:
        """The maildir with what came."""
        return self.directory / "messages"

    async def prepare(self) -> None:
        """Nothing is needed beforehand."""

    def command(self) -> Sequence[str | Path]:
        """Run the program by its path; -P keeps its neighbours out of the import path."""
        return [sys.executable, "-P", _PROGRAM, str(self.port), self.messages]

    async def answers(self) -> bool:
        """Wait for the greeting."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            return (await reader.readline()).startswith(b"220")
        finally:
            writer.close()
