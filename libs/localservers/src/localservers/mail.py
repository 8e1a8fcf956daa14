"""A mail sink: accepts every message by SMTP, stores it in a maildir, and delivers nothing."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from localservers.base import LocalServer

_PROGRAM = Path(__file__).with_name("sink.py")


class MailSink(LocalServer):
    """An SMTP server that delivers nothing."""

    name = "mail"

    @property
    def messages(self) -> Path:
        """Return the maildir with the received messages."""
        return self.directory / "messages"

    async def prepare(self) -> None:
        """Do nothing: the sink needs no preparation."""

    def command(self) -> Sequence[str | Path]:
        """Return the command; -P keeps the program's folder out of the import path."""
        return [sys.executable, "-P", _PROGRAM, str(self.port), self.messages]

    async def answers(self) -> bool:
        """Return whether the sink sends its greeting."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            return (await reader.readline()).startswith(b"220")
        finally:
            writer.close()
