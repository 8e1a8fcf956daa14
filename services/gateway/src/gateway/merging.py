"""One OpenAPI document out of the services': what can be reached, with the gateway's answers."""

from collections.abc import Mapping
from typing import Any

from chassis.http.problems import problem_response
from gateway.routes import Auth, RouteTable

_INFO = {
    "title": "Slipway",
    "version": "1",
    "description": "All services behind the gateway, as one API.",
}
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_ANSWERS = {
    "400": "The request, its path or its headers can't be read.",
    "408": "The body did not come in time.",
    "413": "The body is larger than 1 MiB.",
    "414": "The URL is longer than 32 KiB.",
    "429": "`too-many-requests`: see `Retry-After` and `RateLimit`.",
    "431": "The headers are larger than 32 KiB.",
    "502": "The service gave no valid answer.",
    "503": "`unavailable`: see `Retry-After`.",
    "504": "The service did not answer in time.",
}
_UNAUTHENTICATED = "`unauthenticated`: no access token, or one that is not good."
_REFERENCE = "#/components/"

type Document = dict[str, Any]


def merged(documents: Mapping[str, Document], table: RouteTable) -> Document:
    """Merge documents.

    Args:
        documents: by the name of the service.
        table: says what can be reached, and whether it wants a token.
    """
    whole: Document = {"openapi": "3.1.0", "info": dict(_INFO), "paths": {}, "components": {}}
    operation_ids: set[str] = set()
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
    return whole


def _reachable(path: str, item: Document, service: str, table: RouteTable) -> Document:
    """Keep the operations that the table sends to this very service."""
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
    """Add a service's components; answers the new reference for each that had to be renamed."""
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
    """Copy a part of a document, with its references to renamed components."""
    if isinstance(value, dict):
        return {key: _renamed(part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [_renamed(part, names) for part in value]
    return names.get(value, value) if isinstance(value, str) else value


def _complete(operation: Document, path: str, method: str, table: RouteTable) -> None:
    """Add the answers that the gateway itself may give."""
    answers = dict(_ANSWERS)
    route = table.find(method, path)
    if route is not None and route.auth is not Auth.PUBLIC:
        answers["401"] = _UNAUTHENTICATED
    responses = operation.setdefault("responses", {})
    for status, description in answers.items():
        responses.setdefault(status, problem_response(description))


def _make_unique(operation: Document, service: str, taken: set[str]) -> None:
    name = operation.get("operationId")
    if name in taken:
        operation["operationId"] = name = f"{service}.{name}"
    if name is not None:
        taken.add(name)
