"""A mail sink: takes every message by SMTP, keeps it in a maildir, and delivers nothing."""

import asyncio
import mailbox
import signal
import sys
from collections.abc import Sequence
from email import message_from_bytes
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from chassis.servers.base import LocalServer

_MAX_BYTES = 10 * 1024 * 1024


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
        """Run this module."""
        return [sys.executable, "-m", "chassis.servers.mail", str(self.port), self.messages]

    async def answers(self) -> bool:
        """Wait for the greeting."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            return (await reader.readline()).startswith(b"220")
        finally:
            writer.close()


class _Keep:
    """Keeps each message, with its envelope in headers."""

    def __init__(self, maildir: Path) -> None:
        self._box = mailbox.Maildir(maildir)

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name for it
        content = envelope.original_content or b""
        message = mailbox.MaildirMessage(message_from_bytes(content))
        message["X-Envelope-To"] = ", ".join(envelope.rcpt_tos)
        await asyncio.to_thread(self._box.add, message)
        return "250 kept"


async def _serve(port: int, maildir: Path) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    handler = _Keep(maildir)
    server = await loop.create_server(
        lambda: SMTP(handler, data_size_limit=_MAX_BYTES, enable_SMTPUTF8=True, loop=loop),
        host="127.0.0.1",
        port=port,
    )
    async with server:
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
