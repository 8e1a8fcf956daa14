"""A cookie that holds a secret, and the check that only pages of allowed origins make use of it.

The name prefix ``__Host-`` makes browsers reject the cookie unless it is ``Secure``, has the path
``/`` and no domain. So no subdomain, and no page without TLS, can replace it (RFC 6265bis §4.1.3).
"""

from collections.abc import Collection
from datetime import timedelta
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from chassis.errors import Forbidden

_PREFIX = "__Host-"
_SITE = "Sec-Fetch-Site"
_ORIGIN = "Origin"


class CrossOrigin(Forbidden):
    """A page of this origin may not use the cookie."""


def origin_of(url: str) -> str:
    """Return the origin of a URL (RFC 6454 §6.2), such as ``https://shop.example.com``."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


class HostCookie:
    """Writes and reads one cookie.

    Args:
        name: the name without its prefix.
        lifetime: how long a browser keeps the cookie.
        origins: the origins whose pages may use the cookie, in addition to the origin that serves
            it.

    Attributes:
        name: the name with its prefix.
    """

    def __init__(self, *, name: str, lifetime: timedelta, origins: Collection[str]) -> None:
        self.name = _PREFIX + name
        self._lifetime = int(lifetime.total_seconds())
        self._origins = frozenset(origins)

    def write(self, response: Response, value: str) -> None:
        """Make the browser store `value`. Scripts can't read it, and other sites can't send it."""
        self._set(response, value, self._lifetime)

    def clear(self, response: Response) -> None:
        """Make the browser delete the cookie."""
        self._set(response, "", 0)

    def read(self, request: Request) -> str | None:
        """Return the cookie's value, or None if the request has none.

        Raises:
            CrossOrigin: see ``check_origin``.
        """
        value = request.cookies.get(self.name)
        if not value:
            return None
        self.check_origin(request)
        return value

    def check_origin(self, request: Request) -> None:
        """Raise CrossOrigin unless a page of an allowed origin sent the request.

        A script can't set these fields (the Fetch standard, "forbidden request-header"). Browsers
        since 2023 send ``Sec-Fetch-Site`` to each URL with TLS, and to loopback. Older ones send
        ``Origin`` with each POST and DELETE. SameSite alone is not enough: it lets the pages of
        other hosts of the same site send the cookie.
        """
        site = request.headers.get(_SITE)
        if site == "same-origin":
            return
        origin = request.headers.get(_ORIGIN)
        if origin in self._origins and site in {None, "same-site"}:
            return
        message = (
            f"The cookie {self.name} is only for pages of the API's own origin and of allowed "
            f"origins of the same site. The request has {_ORIGIN}: {_shown(origin)} and {_SITE}: "
            f"{_shown(site)}. Send it by a script of such a page. A client that is no browser "
            "keeps its tokens without cookies."
        )
        raise CrossOrigin(message)

    def _set(self, response: Response, value: str, seconds: int) -> None:
        response.set_cookie(
            self.name,
            value,
            max_age=seconds,
            path="/",
            secure=True,
            httponly=True,
            samesite="strict",
        )


def _shown(value: str | None) -> str:
    return "(none)" if value is None else value[:100]
