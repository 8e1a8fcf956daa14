"""The codes of an authenticator app; a WebAuthn authenticator, and the browser before it."""

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256

_PRESENT, _VERIFIED, _ELIGIBLE, _BACKED_UP, _ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40
_AAGUID = bytes(16)  # as authenticators without attestation have it

_PERIOD_SECONDS = 30

type Cbor = int | bytes | str | Mapping[int, Cbor] | Mapping[str, Cbor]


def base64url(data: bytes) -> str:
    """Return Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Return the bytes of a Base64url text."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def cbor(value: Cbor) -> bytes:
    """Return a value as CBOR (RFC 8949), as far as WebAuthn needs it."""
    if isinstance(value, bytes):
        return _cbor_head(2, len(value)) + value
    if isinstance(value, str):
        return _cbor_head(3, len(value.encode())) + value.encode()
    if isinstance(value, int):
        return _cbor_head(0, value) if value >= 0 else _cbor_head(1, -1 - value)
    pairs: Sequence[tuple[Cbor, Cbor]] = list(value.items())
    return _cbor_head(5, len(pairs)) + b"".join(cbor(key) + cbor(item) for key, item in pairs)


def _cbor_head(major: int, number: int) -> bytes:
    for extra, size in ((24, 1), (25, 2), (26, 4)):
        if number < 24 and extra == 24:  # noqa: PLR2004 - RFC 8949 §3
            return bytes([major << 5 | number])
        if number < 1 << 8 * size:
            return bytes([major << 5 | extra]) + number.to_bytes(size)
    message = f"{number} is too large for a test. Pass less."
    raise ValueError(message)


def code_of(secret: str | bytes, at: float | None = None) -> str:
    """Return the code that an authenticator app shows, written from RFC 4226 §5.3.

    Args:
        secret: in Base32.
        at: the time in seconds since 1970; None: now.
    """
    step = int((time.time() if at is None else at) // _PERIOD_SECONDS)
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8), hashlib.sha1)
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


@dataclass(kw_only=True)
class SoftwarePasskey:
    """One passkey.

    Attributes:
        rp_id: the domain that it is bound to.
        user_handle: the account's id, as the options had it.
        key: the private key.
        credential_id: chosen at random.
        sign_count: rises by one with each use; 0 and `counts` False for one that keeps none.
        counts: whether the counter rises.
        synced: whether the key may be copied to other devices, and was.
    """

    rp_id: str
    user_handle: bytes
    key: EllipticCurvePrivateKey = field(default_factory=lambda: generate_private_key(SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    sign_count: int = 0
    counts: bool = False
    synced: bool = True

    def data(self, *, verified: bool, attested: bytes = b"") -> bytes:
        """Return authenticator data (WebAuthn §6.1)."""
        flags = _PRESENT | (_VERIFIED if verified else 0) | (_ATTESTED if attested else 0)
        flags |= _ELIGIBLE | _BACKED_UP if self.synced else 0
        if self.counts:
            self.sign_count += 1
        hashed = hashlib.sha256(self.rp_id.encode()).digest()
        return hashed + bytes([flags]) + self.sign_count.to_bytes(4) + attested

    def public_key(self) -> bytes:
        """Return the public key as a COSE key for ES256 (RFC 9053 §7.1.1)."""
        numbers = self.key.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32), numbers.y.to_bytes(32)
        return cbor({1: 2, 3: -7, -1: 1, -2: x, -3: y})

    def attested(self) -> bytes:
        """Return the attested credential data (WebAuthn §6.5.1)."""
        length = len(self.credential_id).to_bytes(2)
        return _AAGUID + length + self.credential_id + self.public_key()


@dataclass(kw_only=True)
class Browser:
    """A page of `origin`, and the passkeys that its user has.

    Attributes:
        origin: the page's origin.
        verified: whether the user is verified, by a PIN or a fingerprint.
        cross_origin: whether the page is in a frame of another origin.
        passkeys: those that were created.
    """

    origin: str
    verified: bool = True
    cross_origin: bool = False
    passkeys: list[SoftwarePasskey] = field(default_factory=list)

    def create(self, options: Mapping[str, Any], **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - a passkey's fields
        """Do what ``navigator.credentials.create()`` does, and return the credential's JSON.

        Args:
            options: ``PublicKeyCredentialCreationOptionsJSON``.
            changes: fields of the new passkey.
        """
        passkey = SoftwarePasskey(
            **{
                "rp_id": options["rp"]["id"],
                "user_handle": from_base64url(options["user"]["id"]),
                **changes,
            }
        )
        self.passkeys.append(passkey)
        data = passkey.data(verified=self.verified, attested=passkey.attested())
        attestation = cbor({"fmt": "none", "attStmt": {}, "authData": data})
        return _credential(
            passkey,
            clientDataJSON=self._client_data("webauthn.create", options),
            attestationObject=attestation,
            transports=["internal", "hybrid"],
        )

    def get(self, options: Mapping[str, Any], passkey: SoftwarePasskey) -> dict[str, Any]:
        """Do what ``navigator.credentials.get()`` does, and return the credential's JSON.

        Args:
            options: ``PublicKeyCredentialRequestOptionsJSON``.
            passkey: the one that the user chooses.
        """
        client_data = self._client_data("webauthn.get", options)
        data = passkey.data(verified=self.verified)
        signed = data + hashlib.sha256(client_data).digest()
        return _credential(
            passkey,
            clientDataJSON=client_data,
            authenticatorData=data,
            signature=passkey.key.sign(signed, ECDSA(SHA256())),
            userHandle=passkey.user_handle,
        )

    def _client_data(self, kind: str, options: Mapping[str, Any]) -> bytes:
        content = {
            "type": kind,
            "challenge": options["challenge"],
            "origin": self.origin,
            "crossOrigin": self.cross_origin,
        }
        return json.dumps(content).encode()


def _credential(passkey: SoftwarePasskey, **response: bytes | list[str]) -> dict[str, Any]:
    """Return the JSON of a credential, with members that a server must ignore (WebAuthn §5.1)."""
    credential_id = base64url(passkey.credential_id)
    return {
        "id": credential_id,
        "rawId": credential_id,
        "type": "public-key",
        "authenticatorAttachment": "platform",
        "clientExtensionResults": {"credProps": {"rk": True}},
        "response": {
            name: base64url(value) if isinstance(value, bytes) else value
            for name, value in response.items()
        },
    }
