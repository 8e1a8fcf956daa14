"""Which URLs lead to PostgreSQL, and what of them an error text may show."""

import re
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, SecretStr

_HOST = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]*)(:[0-9]*)?")
# Python 3.14 rejects an IPv6 address behind another host of a URL, and asyncpg parses with Python's
# function. Neither looks at `?host=`.
_NOT_VALID = (
    "must have the form postgresql://role:password@host:port/database, with special characters of "
    "the password as %40 (@), %2F (/), %3A (:), %23 (#), %3F (?), and several hosts with an IPv6 "
    "address among them as postgresql://role:password@/database?host=name:port,[address]:port"
)


def _checked(url: SecretStr) -> SecretStr:
    """Return a URL that asyncpg can parse; raise ValueError without a part of it for others.

    A special character of the password ends it early. asyncpg would take the rest for a port or a
    host, and show it in its error.
    """
    try:
        parts = urlsplit(url.get_secret_value())
        parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError(_NOT_VALID) from None
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if (
        parts.scheme not in {"postgresql", "postgres"}
        or parts.netloc.count("@") > 1
        or "@" in parts.path
        or parts.fragment
        or not all(map(_HOST.fullmatch, hosts))
    ):
        raise ValueError(_NOT_VALID)
    return url


PostgresUrl = Annotated[SecretStr, AfterValidator(_checked)]
"""The URL of a database, as a setting."""


def shown_address(url: str) -> str:
    """Return role, hosts and database of a URL, without passwords, for an error text."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    role = parts.username or "".join(query.get("user", ())[:1])
    hosts = parts.netloc.rpartition("@")[2] or ",".join(query.get("host", ()))
    return f"{role}@{hosts}{parts.path}" if role else f"{hosts}{parts.path}"
