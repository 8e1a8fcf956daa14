"""Open connections to the services, and decide which requests are sent a second time."""

import aiohttp
from aiohttp.abc import AbstractResolver

from chassis.protocol import MAX_FIELDS_BYTES
from gateway.settings import GatewaySettings

_SHORTEST_FIELD_BYTES = 4
# A service closes an idle connection after 75 s. This is shorter, so that no request is written to
# a connection that is being closed.
_KEEP_ALIVE_SECONDS = 30.0
# A pod closes its port `drainSeconds` (helm/service) after it leaves its Service. This and the TTL
# of the cluster's DNS together are shorter, so that a cached address still accepts connections.
ADDRESS_SECONDS = 2
_NO_AUTOMATIC_FIELDS = frozenset(
    {
        aiohttp.hdrs.ACCEPT,
        aiohttp.hdrs.ACCEPT_ENCODING,
        aiohttp.hdrs.CONTENT_TYPE,
        aiohttp.hdrs.USER_AGENT,
    }
)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 §9.2.1

NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""The exceptions of aiohttp that mean that no byte of the request was sent."""


class ConnectionLost(aiohttp.ClientConnectionError):
    """The connection ended before the response; the request may have taken effect."""


class SecondTry:
    """Client middleware that decides whether a failed request is sent again, at most once.

    - The connection could not be opened: nothing was sent, so any request is retried. The name is
      resolved again, since the service may have moved.
    - The connection ended before the response: aiohttp retries GET, HEAD and OPTIONS. This class
      stops aiohttp from retrying PUT and DELETE too. If the first request took effect, the second
      response would describe it wrongly, for example with 404 or 412.

    Args:
        connector: holds the cache of addresses.
    """

    def __init__(self, connector: aiohttp.TCPConnector) -> None:
        self._connector = connector

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request and return its response."""
        try:
            return await self._connected(request, handler)
        except NOT_CONNECTED:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if request.method in _SAFE:
                raise
            raise ConnectionLost(str(error)) from error

    async def _connected(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except NOT_CONNECTED:
            self._connector.clear_dns_cache()
            return await handler(request)


def open_session(
    settings: GatewaySettings,
    *,
    limit: int,
    resolver: AbstractResolver | None = None,
    request_class: type[aiohttp.ClientRequest] = aiohttp.ClientRequest,
) -> aiohttp.ClientSession:
    """Return a pool of connections to one service. It opens a connection when one is needed.

    Args:
        settings: the gateway's settings.
        limit: the most connections; 0 for no limit.
        resolver: resolves names; None uses the system's resolver.
        request_class: the class of the requests.
    """
    connector = aiohttp.TCPConnector(
        limit=limit,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        ttl_dns_cache=ADDRESS_SECONDS,
        resolver=resolver,
    )
    return aiohttp.ClientSession(
        connector=connector,
        middlewares=(SecondTry(connector),),
        request_class=request_class,
        # The route's own deadline covers the whole exchange.
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=settings.upstream_connect_timeout, sock_read=None
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_NO_AUTOMATIC_FIELDS,
        auto_decompress=False,
        # A response's head may be as large as a request's. aiohttp's default bounds are a quarter
        # of that: a longer field would turn the response into a 502.
        max_line_size=MAX_FIELDS_BYTES,
        max_field_size=MAX_FIELDS_BYTES,
        max_headers=MAX_FIELDS_BYTES // _SHORTEST_FIELD_BYTES,
    )
