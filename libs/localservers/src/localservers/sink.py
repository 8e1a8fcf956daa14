"""The mail sink's program: accepts mail by SMTP, stores it in a maildir, delivers nothing.

It is run by its path and imports nothing of the chassis, which would double its memory.
"""

import asyncio
import mailbox
import signal
import sys
from email import message_from_bytes
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

_MAX_BYTES = 10 * 1024 * 1024


class _Keep:
    """Stores each message, with its envelope in headers."""

    def __init__(self, maildir: Path) -> None:
        self._box = mailbox.Maildir(maildir)

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name for it
        content = envelope.original_content or b""
        message = mailbox.MaildirMessage(message_from_bytes(content))
        message["X-Envelope-To"] = ", ".join(envelope.rcpt_tos)
        await asyncio.to_thread(self._box.add, message)
        return "250 kept"


async def _serve(port: int, handler: _Keep) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(
        lambda: SMTP(handler, data_size_limit=_MAX_BYTES, enable_SMTPUTF8=True, loop=loop),
        host="127.0.0.1",
        port=port,
    )
    try:
        await stop.wait()
    finally:
        server.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), _Keep(Path(sys.argv[2]))))
