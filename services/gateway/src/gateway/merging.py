"""Merge the services' OpenAPI documents: reachable paths only, with the gateway's own responses."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from chassis.http.openapi import CONVENTIONS
from chassis.http.problems import problem_response
from gateway.routes import Auth, RouteTable

_INFO = {
    "title": "Slipway",
    "version": "1",
    "description": f"All services behind the gateway, as one API.\n\n{CONVENTIONS}",
    "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
}
# Relative to where the document is served (OpenAPI 3.1 §4.8.5), so right behind every host name.
_SERVERS = [{"url": "/", "description": "The gateway that serves this document."}]
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_ANSWERS = {
    "400": "The request, its path or its headers can't be read.",
    "408": "The body did not arrive in time.",
    "414": "The URL is longer than 32 KiB.",
    "429": "`too-many-requests`: see `Retry-After` and `RateLimit`.",
    "431": "The headers are larger than 32 KiB.",
    "502": "The service returned no valid response.",
    "503": "`unavailable`: see `Retry-After`.",
    "504": "The service did not respond in time.",
}
# Where a service documents its own refusals, the gateway's come beside them, unless the service's
# description has this part of them.
_OF_BOTH = {"400": "its headers", "429": "`too-many-requests`"}
_NOT_ACCEPTABLE = (
    "`Accept` names neither `application/json` nor `application/xml`, or the response is too large "
    "for XML."
)
_UNAUTHENTICATED = "`unauthenticated`: the access token is missing or not valid."
_REFERENCE = "#/components/"
_SCHEMA = "#/components/schemas/"

type Document = dict[str, Any]


class _Lax(BaseModel):
    """A part of a document. Only the parts that are merged are validated."""

    model_config = ConfigDict(extra="allow")


class _Response(_Lax):
    content: dict[str, dict[str, Any]] = Field(default_factory=dict)


class _Operation(_Lax):
    responses: dict[str, _Response] = Field(default_factory=dict)
    security: list[dict[str, list[str]]] = Field(default_factory=list)
    name: Annotated[str | None, Field(alias="operationId")] = None


class _PathItem(_Lax):
    get: _Operation = _Operation()
    put: _Operation = _Operation()
    post: _Operation = _Operation()
    delete: _Operation = _Operation()
    options: _Operation = _Operation()
    head: _Operation = _Operation()
    patch: _Operation = _Operation()
    trace: _Operation = _Operation()


class _Tag(_Lax):
    name: str


class _Document(_Lax):
    openapi: Annotated[str, Field(pattern=r"^3\.1\.")]
    paths: dict[str, _PathItem]
    components: dict[str, dict[str, Any]] = Field(default_factory=dict)
    tags: list[_Tag] = Field(default_factory=list)


def read_document(text: bytes) -> Document:
    """Return the parsed document of a service.

    Raises:
        ValueError: the text is not an OpenAPI 3.1 document that can be merged.
    """
    document: Document = from_json(text, allow_inf_nan=False)
    _Document.model_validate(document)
    return document


def merged(documents: Mapping[str, Document], table: RouteTable) -> Document:
    """Return the merged document.

    Args:
        documents: the documents, by the name of the service.
        table: the route table: which paths are reachable, and which of them require a token.
    """
    whole: Document = {
        "openapi": "3.1.0",
        "info": dict(_INFO),
        "servers": _SERVERS,
        "tags": _tags(documents.values()),
        "paths": {},
        "components": {},
    }
    operation_ids: set[str] = set()
    parts: dict[str, dict[str, Document]] = {}
    for service, document in documents.items():
        names = _take_components(whole["components"], document.get("components", {}), service)
        for path, item in document.get("paths", {}).items():
            reachable = _reachable(path, item, service, table)
            if not reachable:
                continue
            kept = whole["paths"].setdefault(path, {})
            for key, value in _renamed(reachable, names).items():
                if key in _METHODS:
                    _complete(value, path, key.upper(), table)
                    _make_unique(value, service, operation_ids)
                kept[key] = value
        for route in table.merged:
            part = document.get("paths", {}).get(route.parts, {}).get("get")
            if part is not None:
                parts.setdefault(route.prefix, {})[service] = _renamed(part, names)
    for path, of_services in parts.items():
        operation = _merged_operation(of_services)
        _complete(operation, path, "GET", table)
        whole["paths"][path] = {"get": operation}
    _remove_unused(whole)
    return whole


def _tags(documents: Iterable[Document]) -> list[Document]:
    """Return the tags of all services, each name once."""
    tags: dict[str, Document] = {}
    for document in documents:
        for tag in document.get("tags", []):
            tags.setdefault(tag["name"], tag)
    return list(tags.values())


def _remove_unused(whole: Document) -> None:
    """Remove the schemas that only operations use which are not reachable."""
    schemas: dict[str, Any] = whole["components"].get("schemas", {})
    used: set[str] = set()
    left = _references(whole["paths"])
    while left:
        name = left.pop()
        if name in schemas and name not in used:
            used.add(name)
            left |= _references(schemas[name])
    for name in schemas.keys() - used:
        del schemas[name]


def _references(part: Any) -> set[str]:  # noqa: ANN401 - any part of a document
    """Return the names of the schemas that a part refers to."""
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list):
        return set().union(*map(_references, part))
    if isinstance(part, str) and part.startswith(_SCHEMA):
        return {part.removeprefix(_SCHEMA)}
    return set()


def _merged_operation(parts: Mapping[str, Document]) -> Document:
    """Return the operation of an export, from the operations of its parts by service."""
    responses: Document = {}
    scopes: set[str] = set()
    schemes: set[str] = set()
    for part in parts.values():
        responses = part.get("responses", {}) | responses
        for requirement in part.get("security", []):
            schemes |= requirement.keys()
            scopes.update(*requirement.values())
    bodies = {name: _body_of(part.get("responses", {})) for name, part in parts.items()}
    body: Document = {
        "schema": {
            "type": "object",
            "properties": {name: part.get("schema", {}) for name, part in bodies.items()},
            "required": list(bodies),
            "title": "Export",
        }
    }
    if all("example" in part for part in bodies.values()):
        body["example"] = {name: part["example"] for name, part in bodies.items()}
    responses["200"] = {
        "description": "All data, by the service that holds them.",
        "content": {"application/json": body},
    }
    return {
        "tags": ["accounts"],
        "operationId": "exportMe",
        "summary": "Export your data",
        "description": "All that the system holds of you, as one document. If a service is "
        "unavailable, the response is 503: there is never a part of an export. Scopes: "
        f"{', '.join(f'`{scope}`' for scope in sorted(scopes))}.",
        "security": [{scheme: sorted(scopes)} for scheme in sorted(schemes)],
        "responses": responses,
    }


def _body_of(responses: Document) -> Document:
    """Return the media type object of a 200's JSON; empty if it has none."""
    body: Document = responses.get("200", {}).get("content", {}).get("application/json", {})
    return body


def _reachable(path: str, item: Document, service: str, table: RouteTable) -> Document:
    """Return the path item with only the operations that the table routes to this service."""
    operations = {
        method: operation
        for method, operation in item.items()
        if method in _METHODS
        and (route := table.find(method.upper(), path)) is not None
        and route.service == service
    }
    shared = {key: value for key, value in item.items() if key not in _METHODS}
    return operations | shared if operations else {}


def _take_components(whole: Document, components: Document, service: str) -> dict[str, str]:
    """Add a service's components. Return the new reference of each one that had to be renamed."""
    names: dict[str, str] = {}
    for kind, entries in components.items():
        taken = whole.setdefault(kind, {})
        for name, entry in entries.items():
            if name in taken and taken[name] != entry:
                names[f"{_REFERENCE}{kind}/{name}"] = f"{_REFERENCE}{kind}/{service}.{name}"
    for kind, entries in components.items():
        for name, entry in entries.items():
            renamed = names.get(f"{_REFERENCE}{kind}/{name}", name).rpartition("/")[2]
            whole[kind][renamed] = _renamed(entry, names)
    return names


def _renamed(value: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - any part of a document
    """Return a copy of a part of a document, with references to renamed components replaced."""
    if isinstance(value, dict):
        return {key: _renamed(part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [_renamed(part, names) for part in value]
    return names.get(value, value) if isinstance(value, str) else value


def _complete(operation: Document, path: str, method: str, table: RouteTable) -> None:
    """Add the responses that the gateway itself may send."""
    answers = dict(_ANSWERS)
    route = table.find(method, path)
    responses = operation.setdefault("responses", {})
    if route is not None:
        if route.auth is not Auth.PUBLIC:
            answers["401"] = _UNAUTHENTICATED
        if route.auth is Auth.OPTIONAL:
            operation["security"] = [*operation.get("security", []), {}]
        if route.represented and not route.stream and route.parts is None:
            answers["406"] = _NOT_ACCEPTABLE
        # The limit of the route, which is never above that of the service.
        size = _size(route.max_body_bytes)
        responses["413"] = problem_response(f"The body is larger than {size}.")
    for status, description in answers.items():
        own = problem_response(description)
        known = responses.setdefault(status, own)
        if status in _OF_BOTH and _OF_BOTH[status] not in known["description"]:
            known["description"] += f" {description}"
            known.setdefault("content", {}).update(own["content"])


def _size(number: int) -> str:
    """Return a number of bytes that is whole in KiB, in the larger unit that fits."""
    mebibytes, rest = divmod(number, 1 << 20)
    return f"{number >> 10} KiB" if rest else f"{mebibytes} MiB"


def _make_unique(operation: Document, service: str, taken: set[str]) -> None:
    name = operation.get("operationId")
    if name in taken:
        operation["operationId"] = name = f"{service}.{name}"
    if name is not None:
        taken.add(name)
