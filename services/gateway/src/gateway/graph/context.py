"""What the resolvers of one operation share: calls with the caller's fields, and what they read."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic_core import from_json

from chassis.errors import DomainError, FieldError, Invalid, Unavailable
from chassis.http.problems import TYPE_PREFIX
from chassis.wire_names import JSON
from gateway.errors import Refused
from gateway.exchange import UpstreamAnswer
from gateway.graph.calls import Calls, Fields
from gateway.graph.failures import GraphqlLimitExceeded, UpstreamProblem, problem_from
from gateway.graph.feed import Feed
from gateway.graph.loaders import Loader

# The REST API's products of one request.
_PRODUCTS_AT_ONCE = 100
_SUCCESSES = range(200, 300)
_MEMBERS_OF_THE_ERROR = frozenset({"detail", "instance", "request_id"})

type Row = dict[str, Any]
"""An object of a service's response, with its own names of members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The limits of one operation.

    Attributes:
        seconds: how long it may take; of a subscription, each event.
        calls: how many requests it may send to services; of a subscription, each event.
    """

    seconds: float
    calls: int


class Context:
    """The context of one operation.

    Args:
        calls: calls the services.
        fields: the fields of each call: the caller's token, address, request id, trace.
        terms: the limits.
        request_id: the id that errors show.
        feed: the live feed of the caller's connection, if it may subscribe.
    """

    def __init__(
        self,
        *,
        calls: Calls,
        fields: Fields,
        terms: Terms,
        request_id: str,
        feed: Feed | None = None,
    ) -> None:
        self.request_id = request_id
        self.feed = feed
        self._calls = calls
        self._fields = fields
        self._terms = terms
        self.begin()

    def begin(self) -> None:
        """Forget what was read, and count time and calls anew: before each event."""
        self._deadline = asyncio.get_running_loop().time() + self._terms.seconds
        self._left = self._terms.calls
        self._read: dict[tuple[str, str], asyncio.Future[Any]] = {}
        self.products: Loader[Row] = Loader(self._products, at_once=_PRODUCTS_AT_ONCE)

    def get(
        self, service: str, path: str, query: Mapping[str, object] | None = None
    ) -> asyncio.Future[Any]:
        """Return the parsed body of a GET. The same one is sent once in an operation.

        Args:
            service: the service.
            path: the path, encoded.
            query: the parameters; those that are None are left out.
        """
        target = path + _query(query or {})
        key = (service, target)
        known = self._read.get(key)
        if known is None:
            self._read[key] = known = asyncio.ensure_future(self._send(service, "GET", target))
        return known

    async def change(
        self,
        service: str,
        method: str,
        path: str,
        *,
        body: object = None,
        fields: Mapping[str, str | None] | None = None,
        media_type: str = JSON,
    ) -> Any:  # noqa: ANN401 - JSON
        """Send a request that changes something, and return the parsed body of its response.

        Args:
            service: the service.
            method: the method.
            path: the path, encoded.
            body: the JSON body; None for no body.
            fields: further fields; those that are None are left out.
            media_type: of the body.
        """
        more = [(name, value) for name, value in (fields or {}).items() if value is not None]
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            more.append(("Content-Type", media_type))
        try:
            return await self._send(service, method, path, fields=more, body=content)
        finally:
            self._read.clear()  # later mutations of the operation read what this one changed
            self.products.clear()

    async def _products(self, ids: list[str]) -> Mapping[str, Row]:
        query = {"ids": sorted(ids), "limit": _PRODUCTS_AT_ONCE}
        target = "/api/v1/products" + _query(query)
        page = await self._send("orders", "GET", target)
        return {row["id"]: row for row in page["items"]}

    async def _send(
        self,
        service: str,
        method: str,
        target: str,
        *,
        fields: Fields | None = None,
        body: bytes | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        if self._left == 0:
            most = self._terms.calls
            detail = f"The operation needs more than {most} requests to services. Ask for less."
            raise GraphqlLimitExceeded(detail, limit="calls", most=most)
        self._left -= 1
        try:
            answer = await self._calls.call(
                service,
                method,
                target,
                fields=[*self._fields, *(fields or [])],
                body=body,
                deadline=self._deadline,
            )
        except (Refused, DomainError) as error:
            raise problem_from(error) from error
        return _content(service, answer)


def id_in_path(value: str) -> str:
    """Return an id as a part of a path. Only ids that can't lead elsewhere are accepted."""
    try:
        return str(UUID(value))
    except ValueError as error:
        field = FieldError(detail="is not a UUID", parameter="id")
        message = f"The id {value[:64]!r} is not a UUID. Take it from the API."
        raise Invalid(message, errors=[field]) from error


def _query(parameters: Mapping[str, object]) -> str:
    given = {
        name: json.dumps(value) if isinstance(value, bool) else value
        for name, value in parameters.items()
        if value is not None
    }
    return f"?{urlencode(given, doseq=True, errors='replace')}" if given else ""


def _content(service: str, answer: UpstreamAnswer) -> Any:  # noqa: ANN401 - JSON
    try:
        content = from_json(answer.body) if answer.body else None
    except ValueError as error:
        raise problem_from(_strange(service)) from error
    if answer.status in _SUCCESSES:
        return content
    if not isinstance(content, dict) or not str(content.get("type", "")).startswith(TYPE_PREFIX):
        raise problem_from(_strange(service))
    members = {name: value for name, value in content.items() if name not in _MEMBERS_OF_THE_ERROR}
    raise UpstreamProblem(str(content.get("detail", "")), members)


def _strange(service: str) -> Unavailable | Refused:
    message = (
        f"The service {service} returned no valid response. If this is a mutation, it may have "
        "taken effect: check that before you send it again."
    )
    return Refused(502, message)
