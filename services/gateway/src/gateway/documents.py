"""The gateway's own routes: the merged documents of all services, and a page that shows the API.

The OpenAPI document is merged from those that the services serve. The AsyncAPI document is a file
of the package. It is generated from the contracts, which the gateway does not import.
"""

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path

from fastapi import APIRouter
from slowapi import Limiter
from slowapi.errors import RateLimitExceeded
from starlette.requests import Request
from starlette.responses import Response

from chassis.cancellation import all_of
from chassis.errors import DomainError, TooManyRequests, Unavailable
from chassis.http.concurrency import content_response
from chassis.http.problems import problem_of
from gateway.errors import Refused
from gateway.merging import Document, merged, read_document
from gateway.own_limits import counted_fields
from gateway.routes import RouteTable
from gateway.upstreams import Upstream

_CACHE_SECONDS = 60.0
_MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
_FETCH_SECONDS = 5.0
_OK = 200
_READ = ["GET", "HEAD"]
_PAGE = Path(__file__).with_name("docs.html")
_GRAPHQL_PAGE = Path(__file__).with_name("graphiql.html")
_EVENTS = Path(__file__).with_name("asyncapi.json")


class Documents:
    """Fetches and merges the services' documents, and keeps the result for 60 s.

    Args:
        upstreams: the services, by name.
        table: the route table; a path that it does not route is left out.
    """

    def __init__(self, *, upstreams: Mapping[str, Upstream], table: RouteTable) -> None:
        self._upstreams = upstreams
        self._table = table
        self._fetching = asyncio.Lock()
        self._merged = b""
        self._fresh_until = 0.0

    async def document(self) -> bytes:
        """Return the merged document as JSON.

        Raises:
            Unavailable: a service did not return a valid document. An incomplete result would be
                wrong.
        """
        async with self._fetching:
            if time.monotonic() >= self._fresh_until:
                parts = await all_of(self._fetch(name) for name in self._upstreams)
                whole = merged(dict(zip(self._upstreams, parts, strict=True)), self._table)
                self._merged = json.dumps(whole, ensure_ascii=False).encode()
                self._fresh_until = time.monotonic() + _CACHE_SECONDS
            return self._merged

    async def _fetch(self, name: str) -> Document:
        upstream = self._upstreams[name]
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                answer = await upstream.request(
                    "GET", "/openapi.json", fields=[], body=None, max_bytes=_MAX_DOCUMENT_BYTES
                )
        except (TimeoutError, Refused, DomainError) as error:
            raise _missing(name) from error
        if answer.status != _OK:
            raise _missing(name)
        try:
            return read_document(answer.body)
        except ValueError as error:
            raise _missing(name) from error


def _missing(name: str) -> Unavailable:
    message = (
        f"The service {name} returned no valid OpenAPI document. The merged document needs those "
        "of all services. Send the request again in a moment."
    )
    return Unavailable(message)


async def refuse(request: Request, _: Exception) -> Response:
    """Return the response to a caller that exceeded the limit of the documents."""
    message = (
        "The requests exceed the limit of the documents. Wait 1 s, then send the request again."
    )
    return _with_limit(problem_of(request, TooManyRequests(message, retry_after=1)))


def _with_limit(answer: Response) -> Response:
    answer.raw_headers += counted_fields()
    return answer


def documents_router(limiter: Limiter, rate: str, *, graphql_page: bool) -> APIRouter:
    """Return the router of the documents and the pages.

    Args:
        limiter: limits each route.
        rate: the rate of each route, e.g. ``20/second``.
        graphql_page: whether to offer the page that sends GraphQL operations; it reads the schema.
    """
    router = APIRouter(include_in_schema=False)
    events = _EVENTS.read_bytes()

    @router.api_route("/openapi.json", methods=_READ)
    @limiter.limit(rate)
    async def read_document(request: Request) -> Response:
        documents: Documents = request.app.state.documents
        content = await documents.document()
        return _with_limit(content_response(request, content, media_type="application/json"))

    @router.api_route("/asyncapi.json", methods=_READ)
    @limiter.limit(rate)
    async def read_events(request: Request) -> Response:
        return _with_limit(content_response(request, events, media_type="application/json"))

    def offer_page(path: str, file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        policy = {"Content-Security-Policy": _content_security_policy(text)}

        async def read_page(request: Request) -> Response:
            answer = content_response(request, text.encode(), media_type="text/html; charset=utf-8")
            answer.headers.update(policy)
            return _with_limit(answer)

        read_page.__name__ = f"read_{file.stem}"  # slowapi knows what it limits by its name
        router.api_route(path, methods=_READ)(limiter.limit(rate)(read_page))

    offer_page("/docs", _PAGE)
    if graphql_page:
        offer_page("/graphiql", _GRAPHQL_PAGE)
    return router


EXCEPTION_HANDLERS = {RateLimitExceeded: refuse}


def _content_security_policy(page: str) -> str:
    """Return a policy that allows the page's own script and style, by their hashes.

    Of other sources it allows only requests to the page's own origin.
    """
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
