"""The tables of sessions and their refresh tokens, and which scopes a role gives."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped, new_id
from users.accounts.models import Role
from users.metadata import Base

_TOKEN_BYTES = 32

_CUSTOMER = frozenset({"orders:read", "orders:write", "notifications:read", "profile"})
_SUPPORT = _CUSTOMER | {"orders:fulfil", "users:read", "orders:read-all"}
_ADMIN = _SUPPORT | {
    "catalog:write",
    "users:write",
    "announcements:write",
    "ops:dead-letters",
    "ops:replay",
}
SCOPES: Mapping[str, frozenset[str]] = {
    Role.CUSTOMER: _CUSTOMER,
    Role.SUPPORT: _SUPPORT,
    Role.ADMIN: _ADMIN,
}


class LoginSession(Base, Timestamped):
    """One log-in, and the family of the refresh tokens that descend from it.

    Its row is the lock of the family. A revoked one stays, so that its tokens are still known.
    """

    __tablename__ = "sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class RefreshToken(Base, Timestamped):
    """One refresh token; only its SHA-256 is stored, which is enough for 256 random bits."""

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), index=True
    )
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


def scopes_of(roles: Iterable[str]) -> frozenset[str]:
    """Derive the scopes that an account with `roles` has."""
    return frozenset[str]().union(*(SCOPES[role] for role in roles))


def new_refresh_token() -> str:
    """Make a refresh token."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def hash_of(refresh_token: str) -> bytes:
    """Hash a refresh token, any text, as it is stored."""
    return hashlib.sha256(refresh_token.encode("utf-8", "surrogatepass")).digest()
