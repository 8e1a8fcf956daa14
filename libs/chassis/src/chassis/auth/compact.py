"""The compact form of signed tokens (RFC 7515 §7.1), read strictly.

JOSE libraries accept some tokens that they should reject (padded or non-canonical base64url, keys
for another use). So this module parses the token itself, and leaves only the signature to
`cryptography`. It accepts one algorithm, and takes the key from the verifier's own set, whatever
the token's header offers (RFC 8725 §3.1, §3.10).
"""

import base64
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey

from chassis.auth.keys import ALGORITHM, PublicKeys

MAX_LENGTH = 8_192
"""The longest token that is looked at, in characters."""

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# By the number of characters beyond a multiple of four.
_PADDING = ("", "", "==", "=")
_LAST = (_ALPHABET, "", _ALPHABET[::16], _ALPHABET[::4])
_SEGMENTS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_ES256 = ECDSA(SHA256())
_NUMBER_BYTES = 32


class InvalidTokenError(ValueError):
    """The token is not valid; the text is the reason, and may be shown to its bearer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPayload:
    """The payload of a token whose signature is valid.

    Attributes:
        payload: the bytes.
        kid: the id of the key that signed them.
        key: that key.
    """

    payload: bytes
    kid: str
    key: ECKey


def verify_compact(token: str, *, keys: PublicKeys, typ: str | None) -> SignedPayload:
    """Return the payload of a token, and the key that signed it.

    Args:
        token: a JWS in compact form.
        keys: the keys that may have signed it; its ``kid`` selects one of them.
        typ: the required header ``typ``; None requires a header without it.

    Raises:
        InvalidTokenError: the token is not valid; the text is the reason.
    """
    if len(token) > MAX_LENGTH or not _SEGMENTS.fullmatch(token):
        message = (
            "The access token is not a compact JWS (RFC 7515). Send one that this system issued."
        )
        raise InvalidTokenError(message)
    signed, _, signature = token.rpartition(".")
    head, _, body = signed.partition(".")
    kid = _kid_of(head, typ)
    payload, sealed = _decode(body), _decode(signature)
    key = None if kid is None else keys.find(kid)
    if kid is None or key is None:
        message = "The key that signed the access token is unknown. Log in."
        raise InvalidTokenError(message)
    if not _is_signed(signed.encode(), sealed, key):
        message = "The access token's signature is not valid. Log in."
        raise InvalidTokenError(message)
    return SignedPayload(payload=payload, kid=kid, key=key)


def _is_signed(message: bytes, signature: bytes, key: ECKey) -> bool:
    """Return whether the signature (RFC 7518 §3.4: R and S, of 32 bytes each) is valid."""
    if len(signature) != 2 * _NUMBER_BYTES:
        return False
    numbers = signature[:_NUMBER_BYTES], signature[_NUMBER_BYTES:]
    try:
        key.public_key.verify(encode_dss_signature(*map(int.from_bytes, numbers)), message, _ES256)
    except InvalidSignature:
        return False
    return True


# All tokens of a key have the same header, so it is parsed once. A rejected one is not cached.
@lru_cache(maxsize=16)
def _kid_of(head: str, typ: str | None) -> str | None:
    """Return the ``kid`` of a header; None if it has none."""
    header = json_object(_decode(head))
    if header.get("alg") != ALGORITHM or header.get("typ") != typ or "crit" in header:
        message = (
            f"The access token's header is not {ALGORITHM} of type {typ}, without crit. Send "
            "a token that this system issued."
        )
        raise InvalidTokenError(message)
    kid = header.get("kid")
    return kid if isinstance(kid, str) else None


def json_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object of a header or of claims.

    RFC 8259 leaves open what a member means that occurs twice, so two readers of one token could
    differ. Such an object is rejected, and so are other encodings than UTF-8, NaN and Infinity.

    Raises:
        InvalidTokenError: it is not such an object.
    """
    try:
        value = _JSON.decode(raw.decode())
    except (ValueError, RecursionError) as error:
        message = (
            "The access token's header or claims are not JSON with unique member names. Send one "
            "that this system issued."
        )
        raise InvalidTokenError(message) from error
    if not isinstance(value, dict):
        message = (
            "The access token's header or claims are not a JSON object. Send one that this system "
            "issued."
        )
        raise InvalidTokenError(message)
    return value


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        message = "a member occurs twice"
        raise ValueError(message)
    return found


def _no_number(text: str) -> NoReturn:
    message = f"{text} is not JSON"
    raise ValueError(message)


_JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)


def _decode(segment: str) -> bytes:
    """Decode base64url without padding; reject every spelling but the canonical one."""
    rest = len(segment) % 4
    # The last character has unused bits, which must be zero (RFC 4648 §3.5).
    if rest == 1 or segment[-1] not in _LAST[rest]:
        message = "The access token is not canonical base64url. Send one that this system issued."
        raise InvalidTokenError(message)
    return base64.urlsafe_b64decode(segment + _PADDING[rest])
