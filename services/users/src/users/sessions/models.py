"""The tables of log-in sessions and refresh tokens, and the scopes of each role."""

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import DateTime, ForeignKey, Index, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped, new_id
from users.accounts.models import Role
from users.metadata import Base

REPEATABLE = timedelta(seconds=10)
"""How long a used refresh token can still be exchanged for its existing successor."""

REUSE_SEEN = timedelta(days=7)
"""How long after its expiry a refresh token is kept, so that its reuse still ends the session."""

ENDED_SESSIONS_KEPT = timedelta(days=30)
"""How long a session is kept after it was revoked."""

_TOKEN_BYTES = 32
_KEY_BYTES = 32
_NONCE_BYTES = 12  # SP 800-38D §5.2.1.1
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


UNKNOWN_CLIENT = Client()


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
    """One refresh token. Only its SHA-256 is stored: a fast hash is enough for 256 random bits."""

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
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(_key_of(predecessor)).encrypt(nonce, successor.encode(), None)


def unseal(sealed: bytes, *, predecessor: str) -> str:
    """Return the token that ``seal`` encrypted.

    Raises:
        cryptography.exceptions.InvalidTag: it was encrypted for another predecessor.
    """
    nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    return AESGCM(_key_of(predecessor)).decrypt(nonce, encrypted, None).decode()


def _key_of(refresh_token: str) -> bytes:
    """Return a key derived by HKDF (RFC 5869). 256 random bits need no salt and no slow hash."""
    derivation = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE)
    return derivation.derive(refresh_token.encode())


def new_refresh_token() -> str:
    """Return a new random refresh token."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def hash_of(refresh_token: str) -> bytes:
    """Return the hash under which a refresh token is stored. It accepts any text."""
    return hashlib.sha256(refresh_token.encode("utf-8", "surrogatepass")).digest()
