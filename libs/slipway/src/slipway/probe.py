"""Asks a process on this machine for its health.

Plain asyncio in place of an HTTP client: many processes are asked many times a second while the
machine is busiest, and a client's set-up alone costs more than all of these answers.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from urllib.parse import urlsplit

_SECONDS = 3.0
_BYTES = 4096
_OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `status` is None where nobody answered."""

    status: int | None
    text: str

    @property
    def well(self) -> bool:
        """Whether the process is ready."""
        return self.status == _OK


async def probe(url: str) -> Answer:
    """GET a probe's URL."""
    parts = urlsplit(url)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                writer.write(request.encode())
                raw = await reader.read(_BYTES)
                while chunk := await reader.read(_BYTES):
                    raw += chunk
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        head, _, body = raw.decode(errors="replace").partition("\r\n\r\n")
        status = int(head.split(maxsplit=2)[1])
    except (OSError, LookupError, ValueError) as error:  # a time-out is an OSError, too
        return Answer(None, f"{url}: {type(error).__name__}")
    return Answer(status, f"{url} answered {status} {body[:200]}")
