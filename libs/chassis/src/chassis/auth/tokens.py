"""Access tokens: signed JWTs (RFC 7519) of the profile RFC 9068, with one algorithm.

The compact form is checked here before a library sees it: strict base64url (RFC 7515 §2), the one
``alg``, the right ``typ``, no ``crit``. Libraries accept some signatures that they should not.
"""

import base64
import binascii
import json
import re
import time
from collections import OrderedDict
from collections.abc import Container, Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from chassis.auth.keys import ALGORITHM, PublicKeys
from chassis.auth.principal import Principal
from chassis.database.models import new_id

TYPE = "at+jwt"
_MAX_LENGTH = 8_192
_CLOCK_SKEW_SECONDS = 5
_CACHE_SIZE = 10_000
_SEGMENTS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class InvalidTokenError(ValueError):
    """A token that is not good; the text says why, and may be shown to its bearer."""


class TokenSigner:
    """Issues access tokens.

    Args:
        key: the private key; its id goes into the header.
        kid: the key's id.
        issuer: ``iss``.
        audience: ``aud``.
        lifetime: from now to ``exp``.
    """

    def __init__(
        self, *, key: ECKey, kid: str, issuer: str, audience: str, lifetime: timedelta
    ) -> None:
        self._key = key
        self._header = {"alg": ALGORITHM, "typ": TYPE, "kid": kid}
        self._issuer = issuer
        self._audience = audience
        self.lifetime = lifetime

    def sign(
        self, *, subject: UUID, session: UUID, roles: Iterable[str], scopes: Iterable[str]
    ) -> str:
        """Make an access token for a user in a session."""
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(subject),
            "sid": str(session),
            "scope": " ".join(sorted(scopes)),
            "roles": sorted(roles),
            "iat": now,
            "exp": now + int(self.lifetime.total_seconds()),
            "jti": str(new_id()),
        }
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return jws.serialize_compact(self._header, payload, self._key, algorithms=[ALGORITHM])


class TokenVerifier:
    """Verifies access tokens, locally; a token that was good is remembered until it expires.

    Args:
        keys: the issuer's public keys.
        issuer: the only ``iss`` that is accepted.
        audience: must be the ``aud``, or among them.
        revoked: sessions whose tokens are refused, however good.
        remembered: how many good tokens are kept in memory, the oldest leave first.
    """

    def __init__(
        self,
        *,
        keys: PublicKeys,
        issuer: str,
        audience: str,
        revoked: Container[UUID] = frozenset(),
        remembered: int = _CACHE_SIZE,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._revoked = revoked
        self._remembered = remembered
        self._cache: OrderedDict[str, tuple[int, Principal]] = OrderedDict()

    def verify(self, token: str) -> Principal:
        """Answer who the token speaks for; InvalidTokenError says why it speaks for nobody."""
        cached = self._cache.get(token)
        if cached is None:
            cached = self._verify(token)
            self._cache[token] = cached
            if len(self._cache) > self._remembered:
                self._cache.popitem(last=False)
        expires, principal = cached
        if expires + _CLOCK_SKEW_SECONDS <= time.time():
            self._cache.pop(token, None)
            message = "the access token has expired: refresh it"
            raise InvalidTokenError(message)
        if principal.session_id in self._revoked:
            message = "the session of the access token has ended: log in"
            raise InvalidTokenError(message)
        return principal

    def _verify(self, token: str) -> tuple[int, Principal]:
        if len(token) > _MAX_LENGTH or not _SEGMENTS.fullmatch(token):
            message = "the access token is not a compact JWS"
            raise InvalidTokenError(message)
        head, body, signature = token.split(".")
        for segment in (head, body, signature):
            _decode(segment)
        key = self._key_for(_json_object(head))
        try:
            jws.deserialize_compact(token, key, algorithms=[ALGORITHM])
        except (JoseError, ValueError) as error:
            message = "the access token's signature is not good"
            raise InvalidTokenError(message) from error
        return self._principal(_json_object(body))

    def _key_for(self, header: dict[str, Any]) -> ECKey:
        if header.get("alg") != ALGORITHM or header.get("typ") != TYPE or "crit" in header:
            message = f"the access token must be {ALGORITHM} of type {TYPE}, without crit"
            raise InvalidTokenError(message)
        kid = header.get("kid")
        key = self._keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            message = "the access token names a key that is not known here"
            raise InvalidTokenError(message)
        return key

    def _principal(self, claims: dict[str, Any]) -> tuple[int, Principal]:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self._issuer or self._audience not in audiences:
            message = "the access token was issued by or for somebody else (iss, aud)"
            raise InvalidTokenError(message)
        try:
            principal = Principal(
                user_id=UUID(claims["sub"]),
                session_id=UUID(claims["sid"]),
                roles=_texts(claims["roles"]),
                scopes=frozenset(claims["scope"].split()),
            )
            return (_numeric_date(claims["exp"]), principal)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            message = "the access token lacks a claim, or has a bad one (RFC 9068 §2.2)"
            raise InvalidTokenError(message) from error


def _texts(value: object) -> frozenset[str]:
    """Take a list of texts and nothing else: a bare text would pass for its letters."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        message = "not a list of texts"
        raise TypeError(message)
    return frozenset(value)


def _numeric_date(value: object) -> int:
    """Take a NumericDate (RFC 7519 §2): a JSON number, with or without a fraction."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        message = "not a number"
        raise TypeError(message)
    return int(value)


def _decode(segment: str) -> bytes:
    """Decode base64url without padding, and refuse a second spelling of the same bytes."""
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error as error:
        message = "the access token is not base64url"
        raise InvalidTokenError(message) from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
        message = "the access token is not canonical base64url"
        raise InvalidTokenError(message)
    return raw


def _json_object(segment: str) -> dict[str, Any]:
    try:
        value = json.loads(_decode(segment))
    except (ValueError, RecursionError) as error:
        message = "the access token's header or claims are not JSON"
        raise InvalidTokenError(message) from error
    if not isinstance(value, dict):
        message = "the access token's header and claims must be JSON objects"
        raise InvalidTokenError(message)
    return value
