"""Open the connections of WebSockets to the services."""

import aiohttp
from aiohttp.abc import AbstractResolver

from chassis.heads import MAX_FIELDS_BYTES
from gateway.opaque import OpaqueRequest
from gateway.pool.names import ADDRESS_SECONDS
from gateway.settings import GatewaySettings

__all__ = ["ADDRESS_SECONDS", "NOT_CONNECTED", "open_session"]

_SHORTEST_FIELD_BYTES = 4
_NO_AUTOMATIC_FIELDS = frozenset(
    {
        aiohttp.hdrs.ACCEPT,
        aiohttp.hdrs.ACCEPT_ENCODING,
        aiohttp.hdrs.CONTENT_TYPE,
        aiohttp.hdrs.USER_AGENT,
    }
)

NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""The exceptions of aiohttp that mean that no byte of the request was sent."""


class SecondTry:
    """Client middleware that connects a second time if a connection could not be opened.

    Nothing was sent then. The name is resolved again, since the service may have moved.

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
            return await handler(request)
        except NOT_CONNECTED:
            self._connector.clear_dns_cache()
            return await handler(request)


def open_session(
    settings: GatewaySettings, *, resolver: AbstractResolver | None = None
) -> aiohttp.ClientSession:
    """Return a client for the WebSockets of one service.

    Args:
        settings: the gateway's settings.
        resolver: resolves names; None uses the system's resolver.
    """
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=ADDRESS_SECONDS, resolver=resolver)
    return aiohttp.ClientSession(
        connector=connector,
        middlewares=(SecondTry(connector),),
        request_class=OpaqueRequest,
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
