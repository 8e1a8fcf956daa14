"""The table of TOTP secrets, and the rules for codes (RFC 6238) and recovery codes."""

import base64
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from chassis.auth import secret_keys
from chassis.auth.opaque import token_hash
from chassis.database import Timestamped
from users.metadata import Base

CODE_DIGITS = 6
PENDING_FOR = timedelta(minutes=15)
"""How long a setup can be confirmed."""

RECOVERY_CODES = 10

_ALGORITHM = SHA1()  # noqa: S303 - as an HMAC it is not broken, and most apps know no other
_PERIOD = 30  # seconds; RFC 6238 §5.2 recommends it, and authenticator apps know no other
_DRIFT = 1  # periods that the app's clock may be ahead or behind (RFC 6238 §5.2)
_SECRET_BYTES = 20  # RFC 4226 §4, R6
_PURPOSE = b"slipway users: TOTP secret"

# Five bits a character, without those that look alike: 0 and o, 1 and l. 24 characters have 120
# bits, so that a fast hash is enough (NIST SP 800-63B-4 §3.1.2.2 asks for 112).
_RECOVERY_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_RECOVERY_CHARACTERS = 24
_RECOVERY_GROUP = 4


class Totp(Base, Timestamped):
    """The TOTP secret of an account.

    Attributes:
        secret: encrypted, see ``SecretKeys``.
        pending_until: until when the setup can be confirmed; None once it was.
        last_step: the time step of the code that was accepted last. No code of this or an earlier
            step is accepted again (RFC 6238 §5.2).
        recovery_codes: the hashes of the recovery codes that were not used yet.
        sealed_at: when `secret` was encrypted last. A recovery code does not change it, so it says
            which accounts still need a former key. None if an earlier release encrypted it.
    """

    __tablename__ = "totp"
    __table_args__ = (
        # For the deletion of setups that were not confirmed. It is partial: few rows are pending.
        Index(
            "ix_totp_pending_until",
            "pending_until",
            postgresql_where=text("pending_until IS NOT NULL"),
        ),
    )

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    pending_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    recovery_codes: Mapped[list[bytes]] = mapped_column(ARRAY(LargeBinary))
    sealed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


def new_secret() -> bytes:
    """Return a new random secret."""
    return secrets.token_bytes(_SECRET_BYTES)


def secret_text(secret: bytes) -> str:
    """Return a secret as a person types it into an authenticator app: in Base32."""
    return base64.b32encode(secret).decode()


def provisioning_uri(secret: bytes, *, email: str, issuer: str) -> str:
    """Return the ``otpauth:`` URI that authenticator apps read as a QR code."""
    return TOTP(secret, CODE_DIGITS, _ALGORITHM, _PERIOD).get_provisioning_uri(email, issuer)


def matching_step(secret: bytes, code: str, *, now: float, after: int | None) -> int | None:
    """Return the time step of a code, or None if it fits none of those that are accepted.

    Args:
        secret: the account's secret.
        code: as typed.
        now: seconds since 1970.
        after: the step of the last accepted code; only codes of later steps are accepted.
    """
    generator = HOTP(secret, CODE_DIGITS, _ALGORITHM)
    current = int(now // _PERIOD)
    found: int | None = None
    for step in range(current - _DRIFT, current + _DRIFT + 1):
        fits = hmac.compare_digest(generator.generate(step), code.encode("utf-8", "replace"))
        if fits and (after is None or step > after):
            found = step
    return found


def is_code(given: str) -> bool:
    """Return whether a normalised text has the form of a code, and not of a recovery code."""
    return len(given) == CODE_DIGITS


def normalised(typed: str) -> str:
    """Return a code or a recovery code without the separators and capitals that people type."""
    return "".join(typed.split()).replace("-", "").lower()


def new_recovery_codes() -> list[str]:
    """Return new random recovery codes, as they are shown."""
    return [_grouped(_random_text()) for _ in range(RECOVERY_CODES)]


def recovery_hash(code: str) -> bytes:
    """Return the hash under which a recovery code is stored. It accepts any text."""
    return token_hash(normalised(code))


def _random_text() -> str:
    return "".join(secrets.choice(_RECOVERY_ALPHABET) for _ in range(_RECOVERY_CHARACTERS))


def _grouped(text: str) -> str:
    starts = range(0, len(text), _RECOVERY_GROUP)
    return "-".join(text[start : start + _RECOVERY_GROUP] for start in starts)


class SecretKeys(secret_keys.SecretKeys):
    """The keys that encrypt TOTP secrets, each for the account that owns it.

    Args:
        keys: see ``chassis.auth.secret_keys``.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(keys, purpose=_PURPOSE)
