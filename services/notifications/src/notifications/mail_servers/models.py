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


CONNECTIONS = 4
"""How many connections one worker opens at most, and how many mails it sends at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPace:
    """When a connection of the pool is given up.

    Attributes:
        idle_seconds: for how long it may be unused.
        check_seconds: how long a server may take to show that an idle connection is alive.
        mails: how many mails it sends. Relays often set such a limit; nobody waits for ours.
    """

    idle_seconds: float = 30.0
    check_seconds: float = 5.0
    mails: int = 100


class Step(StrEnum):
    """What the server did not accept, in the words of an error."""

    CONNECTION = "connection or log-in"
    SENDER = "sender"
    RECIPIENT = "recipient"
    CONTENT = "content"


class Verdict(StrEnum):
    """What a refusal means for the mail, and for other mails to its address."""

    DEFERRED = "deferred"
    REJECTED = "rejected"
    ADDRESS_REFUSED = "address refused"


_OURS = frozenset({"5.1.7", "5.1.8"})  # RFC 3463 §3.2: the sender's address is refused
_MAILBOX_FULL = "5.2.2"
_MAILBOX_DISABLED = "5.2.1"
_POLICY = "5.7."
_ADDRESSING = "5.1."
_LOG_IN_WANTED = 530  # RFC 4954 §6
_TOO_MUCH = 552  # RFC 5321 §4.5.3.1.10: to be treated as 452
_NO_MAILBOX = frozenset({550, 551, 553})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A response that does not accept a mail.

    Attributes:
        step: what was refused.
        code: the code of RFC 5321.
        enhanced: the enhanced code of RFC 3463, as `5.1.1`; None if the server sent none.
    """

    step: Step
    code: int
    enhanced: str | None

    def __str__(self) -> str:
        """Return the codes."""
        return str(self.code) if self.enhanced is None else f"{self.code} {self.enhanced}"

    @property
    def verdict(self) -> Verdict:
        """What it means. The enhanced code decides where the basic one leaves it open."""
        if self.step in {Step.CONNECTION, Step.SENDER} or not self._is_permanent or self._passes:
            return Verdict.DEFERRED
        return Verdict.ADDRESS_REFUSED if self._of_address else Verdict.REJECTED

    @property
    def _is_permanent(self) -> bool:
        return self.code >= 500  # noqa: PLR2004 - RFC 5321 §4.2.1: do not repeat the command

    @property
    def _passes(self) -> bool:
        """Whether a 5xx is an error of our settings, or of the mailbox at this moment."""
        enhanced = self.enhanced or ""
        if enhanced in _OURS or enhanced == _MAILBOX_FULL:
            return True
        # A relay refuses a recipient with these if we may not send through it.
        is_ours = enhanced.startswith(_POLICY) or self.code == _LOG_IN_WANTED
        is_full = not enhanced and self.code == _TOO_MUCH
        return self.step is Step.RECIPIENT and (is_ours or is_full)

    @property
    def _of_address(self) -> bool:
        if self.enhanced is not None:
            return self.enhanced.startswith(_ADDRESSING) or self.enhanced == _MAILBOX_DISABLED
        return self.step is Step.RECIPIENT and self.code in _NO_MAILBOX
