"""How to reach the mail server."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Encryption(StrEnum):
    """How a connection to the mail server is encrypted."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """The mail server.

    Attributes:
        host: its name, which its certificate must contain.
        port: its port.
        encryption: STARTTLS and TLS are never left out, whatever the server offers (RFC 8314).
        tls_context: the authorities that may sign its certificate.
        username: the user; None logs in as nobody.
        password: returns the user's current password.
        timeout: seconds that the server may take for one response.
    """

    host: str
    port: int
    encryption: Encryption
    tls_context: ssl.SSLContext
    username: str | None
    password: Callable[[], str | None]
    timeout: float
