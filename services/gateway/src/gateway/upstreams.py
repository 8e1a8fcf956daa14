"""The services, each with its own connection pools, so that no service starves another.

Requests, streams of events and WebSockets of one service have separate pools too: a stream or a
socket keeps its connection for hours, so they could leave no connection for requests.
"""

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import product

import aiohttp
from aiohttp.abc import AbstractResolver
from prometheus_client import CollectorRegistry, Counter
from yarl import URL

from chassis.errors import Unavailable
from chassis.http.limits import MAX_BODY_BYTES
from gateway.connecting import NOT_CONNECTED, open_session
from gateway.errors import Refused
from gateway.exchange import UpstreamAnswer
from gateway.opaque import bytes_of
from gateway.pool import Broken, Fetch, Names, Pool, Unreachable
from gateway.settings import GatewaySettings

_HEARTBEAT_SECONDS = 20.0
MAX_MESSAGE_BYTES = 64 * 1024


class Upstream:
    """One service.

    Args:
        name: the service's name in the route table.
        url: the service's address.
        requests: the bounded pool of its HTTP requests.
        streams: the pool of its streams of events, whose number a bulkhead limits.
        sockets: the pool of its WebSockets, whose number `SocketBounds` limits.
        failures: counts failures, by service and kind.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        requests: Pool,
        streams: Pool,
        sockets: aiohttp.ClientSession,
        failures: Counter,
    ) -> None:
        self.name = name
        self.requests = requests
        self.streams = streams
        self._url = url.rstrip("/")
        self._sockets = sockets
        self._failures = failures

    async def request(
        self,
        method: str,
        target: str,
        *,
        fields: Sequence[tuple[str, str]],
        body: bytes | None,
        deadline: float | None = None,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> UpstreamAnswer:
        """Send a request of the gateway itself, and return the whole response.

        Args:
            method: the request's method.
            target: path and query, as sent.
            fields: all fields of the head but the body's length.
            body: the body; None for no body.
            deadline: the time, by `time.monotonic`, at which the caller stops to wait. The request
                carries the time left. This method does not enforce it.
            max_bytes: the largest body of the response.

        Raises:
            Unavailable: the service is unreachable; nothing was sent.
            Refused: 502 if its response is not valid, or the connection ended before it.
        """
        lines = [(name.lower().encode(), bytes_of(value)) for name, value in fields]
        if not any(name == b"host" for name, _ in lines):
            lines.append((b"host", self._url.partition("://")[2].encode()))
        fetch = Fetch(
            self.requests,
            method=method.encode(),
            target=bytes_of(target),
            fields=lines,
            body=body,
            deadline=deadline,
            max_bytes=max_bytes,
        )
        try:
            return await fetch.answer()
        except Unreachable as error:
            raise self.unreachable() from error
        except Broken as error:
            raise self.broken() from error

    async def websocket(
        self, target: str, *, fields: list[tuple[str, str]], protocols: tuple[str, ...]
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket.

        Raises:
            Unavailable: the service is unreachable.
            Refused: 502 if its response is not valid, or the connection ended before it.
            aiohttp.WSServerHandshakeError: the service rejected the handshake, with a status.
        """
        with self._translated():
            return await self._sockets.ws_connect(
                URL(self._url + target, encoded=True),  # quoting it again could change it
                headers=fields,
                protocols=protocols,
                max_msg_size=MAX_MESSAGE_BYTES + 1,  # aiohttp rejects this size and above
                heartbeat=_HEARTBEAT_SECONDS,
                compress=0,
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise Unavailable or Refused in place of aiohttp's errors."""
        try:
            yield
        except aiohttp.WSServerHandshakeError:
            raise
        except NOT_CONNECTED as error:
            raise self.unreachable() from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise self.broken() from error

    def unreachable(self) -> Unavailable:
        """Count and return the failure of a request that did not reach the service."""
        self._failures.labels(self.name, "unreachable").inc()
        message = (
            f"The service {self.name} is unavailable. The request did not reach it. Send the "
            "request again in a moment."
        )
        return Unavailable(message)

    def broken(self) -> Refused:
        """Count and return the failure of a request without a valid response."""
        self._failures.labels(self.name, "broken").inc()
        message = (
            f"The service {self.name} was sent the request and gave no valid response. The "
            "request may have taken effect. Check that before you send it again, or send it "
            "with the same Idempotency-Key."
        )
        return Refused(502, message)

    def timed_out(self) -> None:
        """Count a response that did not arrive in time."""
        self._failures.labels(self.name, "timeout").inc()

    def sweep(self) -> None:
        """Close connections that were idle for too long."""
        self.requests.sweep()
        self.streams.sweep()


@asynccontextmanager
async def open_upstreams(
    settings: GatewaySettings,
    registry: CollectorRegistry,
    *,
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[Mapping[str, Upstream]]:
    """Open the pools of each service. A pool opens a connection when one is needed.

    Args:
        settings: the gateway's settings.
        registry: the registry of its metrics.
        resolver: resolves names; None uses the system's resolver.
    """
    failures = Counter(
        "gateway_upstream_failures",
        "Requests to which a service returned no valid response in time.",
        ("service", "kind"),
        registry=registry,
    )
    for service, kind in product(settings.upstream_urls, ("unreachable", "broken", "timeout")):
        failures.labels(service, kind)  # a counter whose first value is 1 shows no increase
    names = resolver or aiohttp.ThreadedResolver()
    async with AsyncExitStack() as stack:

        def pool(url: URL, limit: int) -> Pool:
            opened = Pool(
                names=Names(host=url.host or "", port=url.port or 0, resolver=names),
                limit=limit,
                connect_seconds=settings.upstream_connect_timeout,
                tls=ssl.create_default_context() if url.scheme == "https" else None,
            )
            stack.push_async_callback(opened.close)
            return opened

        yield {
            name: Upstream(
                name=name,
                url=address,
                requests=pool(URL(address), settings.upstream_connections),
                streams=pool(URL(address), 0),
                sockets=await stack.enter_async_context(open_session(settings, resolver=resolver)),
                failures=failures,
            )
            for name, address in settings.upstream_urls.items()
        }
