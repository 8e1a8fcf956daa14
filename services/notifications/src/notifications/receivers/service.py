"""Call receivers by HTTP: each connection goes to a checked address, and all is bounded."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, override

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from notifications.receivers.errors import AddressRefusedError, Fault, ReceiverError, UnfitUrlError
from notifications.receivers.models import Answer, CallRules

SECONDS = 10.0
"""The time for one call: resolution, connection, request and response."""

EXCERPT_CHARACTERS = 500
"""How much of a response's body is kept."""

_MOST_READ = 16 * 1024  # a connection whose response is longer is closed
_LINE_BYTES = 8 * 1024
_FIELDS = 100
_LOOK_UPS = 64
_MAX_WAIT_DIGITS = 6

type LookUp = Callable[[str, int], list[str]]
"""Returns the addresses of a name and a port, or raises OSError. It blocks."""


class Receivers:
    """The receivers of webhooks.

    Args:
        rules: which URLs and addresses may be called.
        session: see ``open_receivers``.
    """

    def __init__(self, *, rules: CallRules, session: aiohttp.ClientSession) -> None:
        self._rules = rules
        self._session = session

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a request, and return the response. Redirections are not followed.

        The rules are applied again: they may have changed since the URL was stored.

        Raises:
            ReceiverError: there is no valid response.
        """
        with _translated():
            target = URL(self._rules.check_url(url), encoded=True)
            async with (
                asyncio.timeout(SECONDS),
                self._session.post(
                    target, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                beginning = await _beginning(response)
                return Answer(
                    status=response.status,
                    excerpt=_excerpt(beginning),
                    retry_after=_retry_after(response.headers),
                )


@asynccontextmanager
async def open_receivers(
    *, rules: CallRules, tls: ssl.SSLContext, user_agent: str, look_up: LookUp | None = None
) -> AsyncIterator[Receivers]:
    """Open the client, which shares nothing between receivers but its threads for names.

    The system's resolver blocks a thread for as long as a name server takes. These threads are
    separate from those of the process, and there are many.

    Args:
        rules: which URLs and addresses may be called.
        tls: the authorities that may sign a receiver's certificate.
        user_agent: how the client names itself.
        look_up: returns a name's addresses; None asks the system.
    """
    threads = ThreadPoolExecutor(_LOOK_UPS, thread_name_prefix="webhook-names")

    def checked_socket(info: tuple[Any, ...]) -> socket.socket:
        # The last step before a connection, also for an address that the URL itself contains. So
        # nothing that a name resolved to earlier or later can be connected to unchecked.
        family, kind, protocol, _, address = info
        rules.check_address(str(address[0]))
        return socket.socket(family=family, type=kind, proto=protocol)

    connector = aiohttp.TCPConnector(
        ssl=tls,
        resolver=_CheckedResolver(rules=rules, threads=threads, look_up=look_up or _system_look_up),
        socket_factory=checked_socket,
        limit=0,  # the jobs bound the calls; a common limit would let one receiver block others
    )
    try:
        async with aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
            auto_decompress=False,  # a small body may decompress to gigabytes
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # `Receivers.post` bounds the whole call
            trust_env=False,  # a proxy of the environment would resolve names itself, unchecked
            read_bufsize=_MOST_READ,
            max_line_size=_LINE_BYTES,
            max_field_size=_LINE_BYTES,
            max_headers=_FIELDS,
        ) as session:
            yield Receivers(rules=rules, session=session)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


class _CheckedResolver(AbstractResolver):
    """Resolves names, and refuses one with any address that may not be called.

    A name that resolves to a public and a private address is an attempt to get past the check.
    """

    def __init__(self, *, rules: CallRules, threads: ThreadPoolExecutor, look_up: LookUp) -> None:
        self._rules = rules
        self._threads = threads
        self._look_up = look_up

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        addresses = await loop.run_in_executor(self._threads, self._look_up, host, port)
        for address in addresses:
            self._rules.check_address(address)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    @override
    async def close(self) -> None:
        """Do nothing: the threads are closed by those who made them."""


def _system_look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Return the beginning of a body; close the connection if there is more."""
    read = bytearray()
    while len(read) < _MOST_READ:
        part = await response.content.read(_MOST_READ - len(read))
        if not part:
            return bytes(read)
        read += part
    response.close()
    return bytes(read)


def _excerpt(body: bytes) -> str:
    text = body[: 4 * EXCERPT_CHARACTERS].decode(errors="replace")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:EXCERPT_CHARACTERS]


def _retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Return what a Retry-After (RFC 9110 §10.2.3) asks for: seconds, or a date."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text[:_MAX_WAIT_DIGITS]))
    try:
        wait = parsedate_to_datetime(text) - datetime.now(UTC)
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a zone
        return None
    return max(wait, timedelta())


@contextmanager
def _translated() -> Iterator[None]:
    """Raise ReceiverError in place of the client's errors."""
    try:
        yield
    except (UnfitUrlError, aiohttp.InvalidURL) as error:
        raise ReceiverError(Fault.INVALID_URL) from error
    except TimeoutError as error:
        raise ReceiverError(Fault.TIMEOUT) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ReceiverError(_fault_of(error)) from error


def _fault_of(error: BaseException) -> Fault:
    if _is_caused_by(error, AddressRefusedError):
        return Fault.ADDRESS_REFUSED
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Fault.UNKNOWN_HOST
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        return Fault.TLS_FAILED
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ClientOSError)):
        return Fault.CONNECTION_FAILED
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return Fault.CONNECTION_FAILED
    return Fault.INVALID_RESPONSE


def _is_caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        if isinstance(error, BaseExceptionGroup):
            return any(_is_caused_by(one, kind) for one in error.exceptions)
        error = error.__cause__ or error.__context__
    return False
