"""Connections to the services: one bounded pool for each, so that none starves another."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import aiohttp
from aiohttp import hdrs
from prometheus_client import CollectorRegistry, Counter
from yarl import URL

from chassis.errors import Unavailable
from gateway.errors import Refused
from gateway.settings import GatewaySettings

# Shorter than the 75 s after which a service closes an idle connection, so that no request is
# written to one that is being closed.
_KEEP_ALIVE_SECONDS = 30.0
_NO_AUTOMATIC_FIELDS = frozenset(
    {hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.USER_AGENT}
)
_HEARTBEAT_SECONDS = 20.0
MAX_MESSAGE_BYTES = 64 * 1024

type Body = bytes | AsyncIterator[bytes] | None


class Upstream:
    """One service.

    Args:
        name: of the service, as the route table has it.
        url: where it is.
        session: of its own pool.
        failures: counts what went wrong, by service and kind.
    """

    def __init__(
        self, *, name: str, url: str, session: aiohttp.ClientSession, failures: Counter
    ) -> None:
        self._name = name
        self._url = url.rstrip("/")
        self._session = session
        self._failures = failures

    async def request(
        self, method: str, target: str, *, fields: list[tuple[str, str]], body: Body
    ) -> aiohttp.ClientResponse:
        """Send a request and wait for the head of the answer.

        Raises:
            Unavailable: the service can't be reached.
            Refused: 502 where its answer is none.
        """
        with self.translated():
            return await self._session.request(
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
            Unavailable: the service can't be reached.
            aiohttp.WSServerHandshakeError: it refused, with a status.
        """
        with self.translated():
            return await self._session.ws_connect(
                self._address(target),
                headers=fields,
                protocols=protocols,
                max_msg_size=MAX_MESSAGE_BYTES + 1,  # the first size that is refused
                heartbeat=_HEARTBEAT_SECONDS,
                compress=0,
            )

    def _address(self, target: str) -> URL:
        """Keep the target as it was sent: a quoting of our own could change its meaning."""
        return URL(self._url + target, encoded=True)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the client library's errors into answers."""
        try:
            yield
        except aiohttp.WSServerHandshakeError:
            raise
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._failures.labels(self._name, "unreachable").inc()
            message = f"the service {self._name} can't be reached: try again in a moment"
            raise Unavailable(message) from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            self._failures.labels(self._name, "broken").inc()
            message = f"the service {self._name} gave no valid answer; nobody knows what it did"
            raise Refused(502, message) from error

    def timed_out(self) -> None:
        """Count an answer that did not come in time."""
        self._failures.labels(self._name, "timeout").inc()


@asynccontextmanager
async def open_upstreams(
    settings: GatewaySettings, registry: CollectorRegistry
) -> AsyncIterator[Mapping[str, Upstream]]:
    """Open a pool for each service; connections are made when they are needed."""
    failures = Counter(
        "gateway_upstream_failures",
        "Requests that a service did not answer.",
        ("service", "kind"),
        registry=registry,
    )
    async with AsyncExitStack() as stack:
        upstreams = {}
        for name, url in settings.upstream_urls.items():
            session = await stack.enter_async_context(_session(settings))
            upstreams[name] = Upstream(name=name, url=url, session=session, failures=failures)
        yield upstreams


def _session(settings: GatewaySettings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=settings.upstream_connections, keepalive_timeout=_KEEP_ALIVE_SECONDS
        ),
        # The route's own deadline covers the whole exchange.
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=settings.upstream_connect_timeout, sock_read=None
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_NO_AUTOMATIC_FIELDS,
        auto_decompress=False,
    )
