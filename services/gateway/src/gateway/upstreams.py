"""The services, each with its own connection pools, so that no service starves another.

Requests and WebSockets of one service have separate pools too: a socket keeps its connection for
hours, so sockets could leave no connection for requests. Streams of events share the sockets' pool.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import aiohttp
from aiohttp.abc import AbstractResolver
from prometheus_client import CollectorRegistry, Counter
from yarl import URL

from chassis.errors import Unavailable
from chassis.wire_names import REQUEST_TIMEOUT
from gateway.connecting import NOT_CONNECTED, open_session
from gateway.errors import Refused
from gateway.opaque import OpaqueRequest
from gateway.settings import GatewaySettings

_HEARTBEAT_SECONDS = 20.0
MAX_MESSAGE_BYTES = 64 * 1024


type Body = bytes | AsyncIterator[bytes] | None


class _Request(OpaqueRequest):
    """A request that sends the time left when its head is written, in ms.

    Until then the field holds the deadline itself, by the loop's clock. Time passes before the head
    is written: the client may send its body slowly, and getting a connection takes time too.
    """

    def before_send(self, *, now: float) -> None:
        deadline = self.headers.get(REQUEST_TIMEOUT)
        if deadline is not None:
            left = float(deadline) - now
            self.headers[REQUEST_TIMEOUT] = str(max(0, int(left * 1000)))


class Upstream:
    """One service.

    Args:
        name: the service's name in the route table.
        url: the service's address.
        requests: the bounded pool of its HTTP requests.
        sockets: the pool of its WebSockets and streams; `SocketBounds` and a bulkhead limit their
            number.
        failures: counts failures, by service and kind.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        requests: aiohttp.ClientSession,
        sockets: aiohttp.ClientSession,
        failures: Counter,
    ) -> None:
        self._name = name
        self._url = url.rstrip("/")
        self._requests = requests
        self._sockets = sockets
        self._failures = failures

    async def request(
        self,
        method: str,
        target: str,
        *,
        fields: list[tuple[str, str]],
        body: Body,
        deadline: float | None = None,
        stream: bool = False,
    ) -> aiohttp.ClientResponse:
        """Send a request and wait for the head of the response.

        Args:
            method: the request's method.
            target: path and query, as sent.
            fields: all fields of the head.
            body: the body; None for no body.
            deadline: the time, by the loop's clock, at which the caller stops waiting. The request
                carries the time left. This method does not enforce it.
            stream: whether the response may last for hours; it leaves requests their connections.

        Raises:
            Unavailable: the service is unreachable; nothing was sent.
            Refused: 502 if its response is not valid, or the connection ended before it.
        """
        if deadline is not None:
            fields = [*fields, (REQUEST_TIMEOUT, repr(deadline))]
        pool = self._sockets if stream else self._requests
        with self.translated():
            return await pool.request(
                method,
                self._address(target),
                headers=fields,
                data=body,
                allow_redirects=False,
            )

    async def websocket(
        self, target: str, *, fields: list[tuple[str, str]], protocols: tuple[str, ...]
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket.

        Raises:
            Unavailable: the service is unreachable.
            Refused: 502 if its response is not valid, or the connection ended before it.
            aiohttp.WSServerHandshakeError: the service rejected the handshake, with a status.
        """
        with self.translated():
            return await self._sockets.ws_connect(
                self._address(target),
                headers=fields,
                protocols=protocols,
                max_msg_size=MAX_MESSAGE_BYTES + 1,  # aiohttp rejects this size and above
                heartbeat=_HEARTBEAT_SECONDS,
                compress=0,
            )

    def _address(self, target: str) -> URL:
        """Return the URL with the target as it was sent: quoting it again could change it."""
        return URL(self._url + target, encoded=True)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise Unavailable or Refused in place of aiohttp's errors."""
        try:
            yield
        except aiohttp.WSServerHandshakeError:
            raise
        except NOT_CONNECTED as error:
            self._failures.labels(self._name, "unreachable").inc()
            message = (
                f"The service {self._name} is unavailable. The request did not reach it. Send the "
                "request again in a moment."
            )
            raise Unavailable(message) from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            self._failures.labels(self._name, "broken").inc()
            message = (
                f"The service {self._name} was sent the request and gave no valid response. The "
                "request may have taken effect. Check that before you send it again, or send it "
                "with the same Idempotency-Key."
            )
            raise Refused(502, message) from error

    def timed_out(self) -> None:
        """Count a response that did not arrive in time."""
        self._failures.labels(self._name, "timeout").inc()


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
    async with AsyncExitStack() as stack:

        async def session(limit: int) -> aiohttp.ClientSession:
            made = open_session(settings, limit=limit, resolver=resolver, request_class=_Request)
            return await stack.enter_async_context(made)

        yield {
            name: Upstream(
                name=name,
                url=url,
                requests=await session(settings.upstream_connections),
                sockets=await session(0),
                failures=failures,
            )
            for name, url in settings.upstream_urls.items()
        }
