"""The text form of API keys: a visible prefix that names the key, and 256 random secret bits."""

import re
import secrets
from functools import cache

from chassis.product import product

_NAME_BYTES = 6
_SECRET_BYTES = 32
_REST = re.compile(rf"[0-9a-f]{{{2 * _NAME_BYTES}}}_[0-9a-f]{{{2 * _SECRET_BYTES}}}", re.ASCII)


def new_api_key() -> str:
    """Return a new random key: ``<product>_<12 hex digits>_<64 hex digits>``.

    All its characters may stand in a Bearer credential (RFC 6750 §2.1), and a double click selects
    the whole key. The product's name lets scanners find keys in published code.
    """
    name, secret = secrets.token_hex(_NAME_BYTES), secrets.token_hex(_SECRET_BYTES)
    return f"{_mark()}{name}_{secret}"


def visible_prefix(api_key: str) -> str:
    """Return the part of a key before its secret, for lists and logs."""
    return api_key.rpartition("_")[0]


def is_api_key(credential: str) -> bool:
    """Return whether a Bearer credential is an API key and not an access token.

    The key may be unknown or malformed. An access token is a JWT, which begins with ``eyJ``.
    """
    return credential.startswith(_mark())


def is_well_formed(api_key: str) -> bool:
    """Return whether `api_key` has the form that ``new_api_key`` returns."""
    mark = _mark()
    return api_key.startswith(mark) and _REST.fullmatch(api_key, len(mark)) is not None


@cache
def _mark() -> str:
    return f"{product().name}_"
