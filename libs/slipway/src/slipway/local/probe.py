"""Probes the health of a process on this machine.

Plain asyncio in place of an HTTP client: many processes are probed many times a second while the
machine is busiest, and the set-up of a client alone costs more than all of these responses.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from slipway.errors import RemoteError

_SECONDS = 3.0
_BYTES = 64 * 1024
_OK = 200


type Get = Callable[[str], Awaitable[tuple[int, str]]]
"""Returns status and body of the response to a GET of a URL, as `get_here`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a probe.

    Attributes:
        status: the HTTP status; None without a response.
        text: the result, for people.
        troubles: what the process can't reach, although it is ready.
    """

    status: int | None
    text: str
    troubles: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Return whether the process is ready."""
        return self.status == _OK


async def get_here(url: str) -> tuple[int, str]:
    """Return status and body of the response to a GET of a process on this machine.

    Raises:
        OSError: the process does not respond.
        LookupError, ValueError: the response is not HTTP.
    """
    parts = urlsplit(url)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
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
    return int(head.split(maxsplit=2)[1]), body


async def probe(url: str, get: Get = get_here) -> Answer:
    """Return the result of a GET of the probe's URL, which `get` does."""
    try:
        status, body = await get(url)
    except RemoteError as error:
        return Answer(None, str(error))
    except (OSError, LookupError, ValueError) as error:  # a time-out is an OSError, too
        return Answer(None, f"{url}: {type(error).__name__}")
    return Answer(status, f"{url} answered {status} {body[:200]}", _troubles(body))


def _troubles(body: str) -> tuple[str, ...]:
    """Return the entries of `parts` in a probe's body that are not "ok"."""
    with contextlib.suppress(ValueError, AttributeError):
        parts = json.loads(body).get("parts", {})
        return tuple(f"{name} {state}" for name, state in parts.items() if state != "ok")
    return ()
