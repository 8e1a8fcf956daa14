"""The gateway's own routes: the documents of all services as one, and a page that shows the API.

OpenAPI is merged from what the services serve. AsyncAPI comes with the package: it is made from the
contracts, of which the gateway knows nothing.
"""

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from slowapi import Limiter
from slowapi.errors import RateLimitExceeded
from starlette.requests import Request
from starlette.responses import Response

from chassis.errors import DomainError, TooManyRequests, Unavailable
from chassis.http.problems import problem_of
from gateway.addresses import Addresses, limit_key
from gateway.errors import Refused
from gateway.merging import merged
from gateway.routes import RouteTable
from gateway.settings import GatewaySettings
from gateway.upstreams import Upstream

_CACHE_SECONDS = 60.0
_FETCH_SECONDS = 5.0
_OK = 200
_PAGE = Path(__file__).with_name("docs.html")
_EVENTS = Path(__file__).with_name("asyncapi.json")


class Documents:
    """Fetches the services' documents and merges them; keeps the result for a minute.

    Args:
        upstreams: the services, by name.
        table: says which of their paths can be reached.
    """

    def __init__(self, *, upstreams: Mapping[str, Upstream], table: RouteTable) -> None:
        self._upstreams = upstreams
        self._table = table
        self._fetching = asyncio.Lock()
        self._merged = b""
        self._fresh_until = 0.0

    async def document(self) -> bytes:
        """Give the merged document, as JSON.

        Raises:
            Unavailable: a service does not give its part; half a document would be a false one.
        """
        async with self._fetching:
            if time.monotonic() >= self._fresh_until:
                parts = await asyncio.gather(*(self._fetch(name) for name in self._upstreams))
                whole = merged(dict(zip(self._upstreams, parts, strict=True)), self._table)
                self._merged = json.dumps(whole, ensure_ascii=False).encode()
                self._fresh_until = time.monotonic() + _CACHE_SECONDS
            return self._merged

    async def _fetch(self, name: str) -> dict[str, Any]:
        upstream = self._upstreams[name]
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                answer = await upstream.request("GET", "/openapi.json", fields=[], body=None)
                async with answer:
                    text = await answer.read()
        except (TimeoutError, Refused, DomainError, aiohttp.ClientError) as error:
            raise _missing(name) from error
        if answer.status != _OK:
            raise _missing(name)
        document: dict[str, Any] = json.loads(text)
        return document


def _missing(name: str) -> Unavailable:
    return Unavailable(f"the service {name} does not give its document: try again in a moment")


def own_limiter(settings: GatewaySettings) -> Limiter:
    """Make the limiter of the own routes: they are cheap, so each process counts for itself."""
    addresses = Addresses(settings.trusted_proxies)

    def client_of(request: Request) -> str:
        forwarded_for = request.headers.get("x-forwarded-for")
        return limit_key(addresses.origin(request.scope, forwarded_for).client)

    return Limiter(
        key_func=client_of,
        enabled=settings.slipway_limits == "on",
    )


async def refuse(request: Request, _: Exception) -> Response:
    """Answer a caller that read the documents too often."""
    message = "the documents were read more often than the limit allows: wait a second"
    return problem_of(request, TooManyRequests(message, retry_after=1))


def documents_router(limiter: Limiter, rate: str) -> APIRouter:
    """Make the routes."""
    router = APIRouter(include_in_schema=False)
    page = _PAGE.read_text(encoding="utf-8")
    events = _EVENTS.read_bytes()
    page_headers = {"Content-Security-Policy": _content_security_policy(page)}

    @router.get("/openapi.json")
    @limiter.limit(rate)
    async def read_document(request: Request) -> Response:
        documents: Documents = request.app.state.documents
        return Response(await documents.document(), media_type="application/json")

    @router.get("/asyncapi.json")
    @limiter.limit(rate)
    async def read_events(request: Request) -> Response:
        del request  # the limiter's decorator asks for it
        return Response(events, media_type="application/json")

    @router.get("/docs")
    @limiter.limit(rate)
    async def read_page(request: Request) -> Response:
        del request  # the limiter's decorator asks for it
        return HTMLResponse(page, headers=page_headers)

    return router


EXCEPTION_HANDLERS = {RateLimitExceeded: refuse}


def _content_security_policy(page: str) -> str:
    """Allow the page's own script and style, by their hashes, and nothing else."""
    script, style = (_hashed(page, tag) for tag in ("script", "style"))
    return (
        f"default-src 'none'; connect-src 'self'; script-src {script}; style-src {style}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hashed(page: str, tag: str) -> str:
    found = re.search(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    text = "" if found is None else found.group(1)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
