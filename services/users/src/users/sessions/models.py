"""The tables of log-in sessions and refresh tokens, and the scopes of each role."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Index, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from chassis.actor import Actor, ActorKind
from chassis.auth.encryption import DerivedCipher
from chassis.database import Timestamped, new_id
from users.accounts.models import Role
from users.metadata import Base

REPEATABLE = timedelta(seconds=10)
"""How long a used refresh token can still be exchanged for its existing successor."""

REUSE_SEEN = timedelta(days=7)
"""How long after its expiry a refresh token is kept, so that its reuse still ends the session."""

ENDED_SESSIONS_KEPT = timedelta(days=30)
"""How long a session is kept after it was revoked."""

SIDS_PER_EVENT = 1000
"""How many ids one event announces. An id takes 39 bytes, and a broker accepts about 900 kB."""

_PURPOSE = b"slipway users: successor of a refresh token"

_MAX_USER_AGENT = 400
_MAX_ADDRESS = 100
_BROWSER = "Mozilla/"  # every browser's User-Agent begins so
# Chrome's field also names Safari, and the others' also name Chrome: the first that is found wins.
_BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "Chrome/": "Chrome",
    "CriOS/": "Chrome",
    "Safari/": "Safari",
}
_SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "CrOS": "ChromeOS",
    "Macintosh": "macOS",
    "Linux": "Linux",
}
_PRODUCT = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §10.1.5

_CUSTOMER = frozenset({"orders:read", "orders:write", "notifications:read", "profile"})
_SUPPORT = _CUSTOMER | {"orders:fulfil", "users:read", "orders:read-all"}
_ADMIN = _SUPPORT | {
    "catalog:write",
    "users:write",
    "announcements:write",
    "audit:read",
    "ops:audit",
    "ops:dead-letters",
    "ops:jobs",
    "ops:replay",
}
SCOPES: Mapping[str, frozenset[str]] = {
    Role.CUSTOMER: _CUSTOMER,
    Role.SUPPORT: _SUPPORT,
    Role.ADMIN: _ADMIN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The program that sent a request, as the request shows it. It can lie about itself.

    Attributes:
        address: the network address that the gateway saw.
        user_agent: the header ``User-Agent``.
        request_id: the id of the request.
    """

    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, *, address: str, user_agent: str | None, request_id: str) -> "Client":
        """Return the client, with texts that can be stored and shown."""
        return cls(
            address=_line(address, _MAX_ADDRESS),
            user_agent=None if user_agent is None else _line(user_agent, _MAX_USER_AGENT),
            request_id=request_id,
        )

    def unidentified_actor(self) -> Actor:
        """Return the actor of a request that proved nobody's identity."""
        return Actor(kind=ActorKind.SYSTEM, address=self.address, request_id=self.request_id)


UNKNOWN_CLIENT = Client()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How long log-in sessions live, and how many an account has.

    Attributes:
        idle: how long a refresh token can stay unused.
        lifetime: how long after its log-in a session can be refreshed, however much it is used.
        per_account: how many live sessions an account has at most.
    """

    idle: timedelta
    lifetime: timedelta
    per_account: int

    def expiry(self, now: datetime, *, logged_in_at: datetime) -> datetime:
        """Return when a refresh token that is issued now expires."""
        return min(now + self.idle, logged_in_at + self.lifetime)


class LogInSession(Base, Timestamped):
    """One log-in, with the family of the refresh tokens that descend from it.

    The row's lock is the lock of the family. A revoked session stays for a while, so that its
    tokens are recognised.

    ``successor`` is the family's newest refresh token, encrypted with a key that only the holder
    of its predecessor can derive. It is kept until ``successor_until``, or until it is used.

    Attributes:
        methods: how the user logged in, as RFC 8176 names it; the claim ``amr`` of its tokens.
        address: the client's address at the log-in or the last refresh. None once the session has
            ended, because it is personal data that nobody needs any more.
        user_agent: the client's ``User-Agent``; as `address`.
        last_used_at: the time of the log-in or the last refresh.
        expires_at: when the newest refresh token expires. None if an earlier release opened the
            session, and no later one has refreshed it.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        # For the list of an account's live sessions, and the end of the oldest ones. Without it,
        # both would read all sessions that ended in the last 30 days.
        Index(
            "ix_sessions_live",
            "user_id",
            "created_at",
            "id",
            postgresql_where=text("revoked_at IS NULL"),
        ),
        # For the erasure of expired successors. It is partial: few rows have a successor.
        Index(
            "ix_sessions_successor_until",
            "successor_until",
            postgresql_where=text("successor IS NOT NULL"),
        ),
        Index(
            "ix_sessions_revoked_at",
            "revoked_at",
            postgresql_where=text("revoked_at IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    methods: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{pwd}")
    address: Mapped[str | None] = mapped_column(Text)
    user_agent: Mapped[str | None] = mapped_column(Text)
    last_used_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    successor: Mapped[bytes | None] = mapped_column(LargeBinary)
    successor_of: Mapped[bytes | None] = mapped_column(LargeBinary)
    successor_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class RefreshToken(Base, Timestamped):
    """One refresh token. Only its hash is stored; see ``token_hash``."""

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), index=True
    )
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


def scopes_of(roles: Iterable[str]) -> frozenset[str]:
    """Return the scopes of an account with `roles`."""
    return frozenset[str]().union(*(SCOPES[role] for role in roles))


def device_of(user_agent: str | None) -> str | None:
    """Return a short name of a client for its user: ``Firefox on Windows``, ``python-httpx``.

    The name helps the user to recognise a device. It proves nothing, since clients choose the field
    freely.
    """
    if not user_agent:
        return None
    if not user_agent.startswith(_BROWSER):
        product = _PRODUCT.match(user_agent)
        return None if product is None else product[0]
    parts = (_first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent))
    return " on ".join(part for part in parts if part is not None) or None


def _first(names: Mapping[str, str], user_agent: str) -> str | None:
    return next((name for mark, name in names.items() if mark in user_agent), None)


def _line(text: str, length: int) -> str:
    return "".join(character for character in text if character.isprintable())[:length]


def seal(successor: str, *, predecessor: str) -> bytes:
    """Return a refresh token, encrypted so that only the holder of its predecessor can read it.

    A predecessor has one successor, so its key encrypts only one message.
    """
    return _cipher_of(predecessor).encrypt(successor.encode())


def unseal(sealed: bytes, *, predecessor: str) -> str:
    """Return the token that ``seal`` encrypted.

    Raises:
        cryptography.exceptions.InvalidTag: it was encrypted for another predecessor.
    """
    return _cipher_of(predecessor).decrypt(sealed).decode()


def _cipher_of(refresh_token: str) -> DerivedCipher:
    return DerivedCipher(refresh_token, purpose=_PURPOSE)
