"""The methods that each path offers, from the services' documents: for 405 and OPTIONS.

A service itself responds with 405 to a caller with a valid token. Without one, the gateway would
respond with 401 before the service sees the request. So the gateway needs the methods to respond
with 405. If the gateway is older than a service, a caller without a token may get 405 instead of
401. Requests with a valid token are passed on in any case.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from fastapi import APIRouter
from fastapi.routing import APIRoute

METHODS_FILE = Path(__file__).with_name("methods.json")
_ORDER = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


type Offered = Mapping[str, str]
"""Methods by path template: ``{"/api/v1/orders": "GET POST"}``."""


def offered_methods(paths: Mapping[str, Mapping[str, object]]) -> Offered:
    """Return the methods that the paths of an OpenAPI document offer."""
    return {
        path: " ".join(name for name in _ORDER if name.lower() in item)
        for path, item in paths.items()
    }


class Methods:
    """Finds the methods of a path.

    The methods of all templates that match are combined, since a service's router tries its routes
    one after the other.

    Args:
        offered: the methods by path template.
    """

    def __init__(self, offered: Offered) -> None:
        self._templates = [
            (tuple(template.split("/")), frozenset(methods.split()))
            for template, methods in offered.items()
        ]

    def of(self, path: str) -> tuple[str, ...]:
        """Return the methods of a path as it was sent; empty if no template matches.

        GET implies HEAD (RFC 9110 §9.1). OPTIONS is added, since the gateway responds to it.
        """
        parts = path.split("/")
        found: set[str] = set()
        for template, methods in self._templates:
            if _fits(template, parts):
                found |= methods
        if "GET" in found:
            found.add("HEAD")
        if found:
            found.add("OPTIONS")
        return tuple(name for name in _ORDER if name in found)


def methods_of(router: APIRouter) -> Offered:
    """Return the methods that the gateway's own routes offer."""
    return {
        route.path: " ".join(route.methods or ())
        for route in router.routes
        if isinstance(route, APIRoute)
    }


def read_methods() -> Offered:
    """Return the methods of the services' routes, from the file that `gateway.document` writes."""
    offered: Offered = json.loads(METHODS_FILE.read_text(encoding="utf-8"))
    return offered


def _fits(template: tuple[str, ...], parts: list[str]) -> bool:
    return len(template) == len(parts) and all(
        part == name or (name.startswith("{") and part != "")
        for name, part in zip(template, parts, strict=True)
    )
