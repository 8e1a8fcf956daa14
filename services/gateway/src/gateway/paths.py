"""Paths that could mean another place to a service than they do here are refused."""

import re

from starlette.types import Scope

from gateway.errors import Refused, Suspicious
from gateway.headers import MAX_TARGET_BYTES

# An empty, "." or ".." segment, plain or encoded; an encoded slash, backslash or NUL.
_DANGEROUS = re.compile(rb"//|\\|/(?:\.|%2e){1,2}(?:/|;|$)|%2f|%5c|%00", re.IGNORECASE)


def check_target(path: bytes, query: bytes) -> None:
    """Refuse a path or a URL that is not passed on.

    Raises:
        Suspicious: the path leaves its prefix, or could.
        Refused: 414 where the URL is too long.
    """
    if len(path) + len(query) + 1 > MAX_TARGET_BYTES:
        detail = f"the URL may have {MAX_TARGET_BYTES} bytes at most"
        raise Refused(414, detail, headers={"Connection": "close"})
    if not is_plain(path):
        message = "the path holds an empty or a dot segment, or an encoded slash: send it plain"
        raise Suspicious(message)


def is_plain(path: bytes) -> bool:
    """Whether a path has one meaning only."""
    return _DANGEROUS.search(path) is None


def target_of(scope: Scope) -> str:
    """Give the request's target as it was sent."""
    path: str = scope["raw_path"].decode("ascii")
    query: bytes = scope["query_string"]
    return f"{path}?{query.decode('ascii')}" if query else path
