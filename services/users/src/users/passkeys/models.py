"""The tables of passkeys and challenges, and the rules of WebAuthn level 3."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, ForeignKey, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    options_to_json_dict,
    parse_client_data_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    CollectedClientData,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from chassis.database import Timestamped, new_id
from users.metadata import Base

CHALLENGE_FOR = timedelta(minutes=5)
"""How long a challenge can be used; also the time that the browser gives its user."""

MAX_PASSKEYS = 20
"""The passkeys that an account can have."""

_CHALLENGE_BYTES = 32  # WebAuthn §13.4.3 asks for at least 16
# Those that WebAuthn §5.4 recommends, since every authenticator has one of them.
_ALGORITHMS = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]


class Passkey(Base, Timestamped):
    """A WebAuthn credential of an account.

    Attributes:
        credential_id: chosen by the authenticator; unique among all accounts (WebAuthn §7.1).
        public_key: as a COSE key.
        sign_count: the authenticator's counter; 0 if it keeps none.
        backup_eligible: whether the key may be copied to other devices. It never changes.
        backed_up: whether it was copied at the last log-in.
        transports: how the authenticator can be reached, for the browser.
        name: chosen by the user.
        last_used_at: the time of the last log-in with it.
    """

    __tablename__ = "passkeys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    credential_id: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int] = mapped_column(BigInteger)
    backup_eligible: Mapped[bool]
    backed_up: Mapped[bool]
    transports: Mapped[list[str]] = mapped_column(ARRAY(Text))
    name: Mapped[str] = mapped_column(Text)
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class PasskeyChallenge(Base, Timestamped):
    """A challenge that was not used yet.

    Attributes:
        challenge: random bytes.
        user_id: the account that a passkey is added to; None for a log-in.
        expires_at: until when it can be used.
    """

    __tablename__ = "passkey_challenges"

    challenge: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID | None]
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


class RefusedCredentialError(ValueError):
    """What a browser sent is not valid; the text says why, for a developer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCredential:
    """A credential whose registration was verified."""

    credential_id: bytes
    public_key: bytes = field(repr=False)
    sign_count: int
    backup_eligible: bool
    backed_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A log-in whose signature was verified."""

    sign_count: int
    backed_up: bool


def new_challenge() -> bytes:
    """Return a new random challenge."""
    return secrets.token_bytes(_CHALLENGE_BYTES)


def methods_of(passkey: Passkey) -> tuple[str, ...]:
    """Return how a log-in with a passkey authenticates its user (RFC 8176).

    The key is one factor; the device verified the user by another, a PIN or a fingerprint. A key
    that may be copied is not bound to hardware.
    """
    return ("swk" if passkey.backup_eligible else "hwk", "user", "mfa")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """The rules of WebAuthn for this system. User verification is always required.

    Attributes:
        rp_id: the domain that passkeys are bound to.
        origins: the origins whose pages may use them.
        name: what authenticators show.
    """

    rp_id: str
    origins: tuple[str, ...]
    name: str

    def registration_options(
        self,
        *,
        challenge: bytes,
        user_id: UUID,
        email: str,
        full_name: str,
        known: Iterable[Passkey],
    ) -> dict[str, Any]:
        """Return the options of ``navigator.credentials.create()``, as JSON (WebAuthn §5.1.8)."""
        options = generate_registration_options(
            rp_id=self.rp_id,
            rp_name=self.name,
            user_id=user_id.bytes,
            user_name=email,
            user_display_name=full_name,
            challenge=challenge,
            timeout=_milliseconds(CHALLENGE_FOR),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[_descriptor(passkey) for passkey in known],
            supported_pub_key_algs=_ALGORITHMS,
        )
        return options_to_json_dict(options)

    def log_in_options(self, *, challenge: bytes) -> dict[str, Any]:
        """Return the options of ``navigator.credentials.get()``, as JSON (WebAuthn §5.1.9).

        They name no account: the authenticator shows its user which passkeys it has.
        """
        options = generate_authentication_options(
            rp_id=self.rp_id,
            challenge=challenge,
            timeout=_milliseconds(CHALLENGE_FOR),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json_dict(options)

    def verify_registration(
        self, credential: Mapping[str, Any], *, challenge: bytes
    ) -> NewCredential:
        """Return the credential, or raise RefusedCredentialError (WebAuthn §7.1)."""
        _refuse_frames(credential)
        try:
            verified = verify_registration_response(
                credential=dict(credential),
                expected_challenge=challenge,
                expected_rp_id=self.rp_id,
                expected_origin=list(self.origins),
                require_user_verification=True,
                supported_pub_key_algs=_ALGORITHMS,
            )
            # A key that can't be used would be noticed only at the first log-in.
            decoded_public_key_to_cryptography(
                decode_credential_public_key(verified.credential_public_key)
            )
        except Exception as error:  # webauthn 3.0.1 also raises KeyError, ValueError and others
            raise RefusedCredentialError(str(error)) from error
        return NewCredential(
            credential_id=verified.credential_id,
            public_key=verified.credential_public_key,
            sign_count=verified.sign_count,
            backup_eligible=_is_eligible(verified.credential_device_type),
            backed_up=verified.credential_backed_up,
        )

    def verify_log_in(
        self, credential: Mapping[str, Any], *, challenge: bytes, passkey: Passkey
    ) -> Assertion:
        """Return what the authenticator says, or raise RefusedCredentialError (WebAuthn §7.2)."""
        _refuse_frames(credential)
        try:
            verified = verify_authentication_response(
                credential=dict(credential),
                expected_challenge=challenge,
                expected_rp_id=self.rp_id,
                expected_origin=list(self.origins),
                credential_public_key=passkey.public_key,
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=True,
            )
        except Exception as error:  # likewise
            raise RefusedCredentialError(str(error)) from error
        if _is_eligible(verified.credential_device_type) != passkey.backup_eligible:
            message = "The backup eligibility of the passkey has changed (WebAuthn §7.2)."
            raise RefusedCredentialError(message)
        return Assertion(
            sign_count=verified.new_sign_count, backed_up=verified.credential_backed_up
        )


def challenge_in(credential: Mapping[str, Any]) -> bytes:
    """Return the challenge that a credential was made for, or raise RefusedCredentialError."""
    return _client_data(credential).challenge


def bytes_in(text: str) -> bytes:
    """Return the bytes of a Base64url text, or raise RefusedCredentialError."""
    try:
        return base64url_to_bytes(text)
    except ValueError as error:
        message = "A member of the credential is not Base64url."
        raise RefusedCredentialError(message) from error


def known_transports(transports: Sequence[str]) -> list[str]:
    """Return the transports that WebAuthn defines, without duplicates, in the order of the enum."""
    return [one.value for one in AuthenticatorTransport if one.value in transports]


def _client_data(credential: Mapping[str, Any]) -> CollectedClientData:
    try:
        return parse_client_data_json(base64url_to_bytes(credential["response"]["clientDataJSON"]))
    except Exception as error:
        message = "The member clientDataJSON of the credential can't be read."
        raise RefusedCredentialError(message) from error


def _refuse_frames(credential: Mapping[str, Any]) -> None:
    """Refuse a page that was shown in a frame of another origin, since its user may not see it.

    The library does not check this (WebAuthn §7.1 and §7.2, on ``crossOrigin``).
    """
    if _client_data(credential).cross_origin:
        message = "The page was shown in a frame of another origin. Show it by itself."
        raise RefusedCredentialError(message)


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(
        id=passkey.credential_id,
        transports=[AuthenticatorTransport(one) for one in passkey.transports],
    )


def _is_eligible(kind: CredentialDeviceType) -> bool:
    return kind is CredentialDeviceType.MULTI_DEVICE


def _milliseconds(time: timedelta) -> int:
    return int(time.total_seconds() * 1000)
