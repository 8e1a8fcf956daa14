"""Addresses as settings: what can't be one is refused at the start, not at the first call."""

import re
from collections.abc import Container
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/@,\[\]]+)"
_HOST_AND_PORT = re.compile(rf"{_HOST}(?::([1-9][0-9]{{0,4}}))?")
_LAST_PORT = 65_535


def names_a_server(url: str, *, schemes: Container[str]) -> bool:
    """Return whether a URL has one of the schemes, a host, and no port that can't be called."""
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that are not closed, or a port that is no number up to 65535
        return False


def checked_url(text: str) -> str:
    """Return the address of an HTTP server; raise ValueError if it is none that can be called."""
    is_one = names_a_server(text, schemes={"http", "https"})
    if not is_one or any(one.isspace() for one in text):
        message = "must be an address such as http://host:8080 or https://host"
        raise ValueError(message)
    return text


def checked_servers(text: str) -> str:
    """Return comma-separated `host:port`; raise ValueError if a part is something else."""
    for part in text.split(","):
        found = _HOST_AND_PORT.fullmatch(part.strip())
        if found is None or int(found[1] or 1) > _LAST_PORT:
            message = (
                "must be host:port, or several with commas between them, such as "
                "kafka-1:9092,kafka-2:9092; without a scheme"
            )
            raise ValueError(message)
    return text


Url = Annotated[str, AfterValidator(checked_url)]
"""The address of an HTTP server, as a setting."""

Servers = Annotated[str, AfterValidator(checked_servers)]
"""The addresses of servers that speak another protocol, as a setting."""
