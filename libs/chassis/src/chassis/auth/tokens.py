"""Access tokens: signed JWTs (RFC 7519) with the profile of RFC 9068 and a single algorithm."""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from joserfc import jws
from joserfc.jwk import ECKey

from chassis.auth.compact import InvalidTokenError, json_object, verify_compact
from chassis.auth.keys import ALGORITHM, PublicKeys
from chassis.auth.principal import Principal
from chassis.auth.signing import SigningKey
from chassis.database.ids import new_id

TYPE = "at+jwt"
_CLOCK_SKEW_SECONDS = 5
_LIFETIME = timedelta(minutes=10)
_CACHE_SIZE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionGrant:
    """A log-in session, for which its user gets access tokens.

    Attributes:
        session_id: the claim ``sid``.
        authenticated_at: when the user logged in; None means now.
        methods: how the user logged in, as RFC 8176 names it.
    """

    session_id: UUID
    authenticated_at: datetime | None = None
    methods: tuple[str, ...] = ("pwd",)

    def claims(self, now: int) -> dict[str, Any]:
        """Return the claims that identify the session and the log-in (RFC 9068 §2.2.1)."""
        since = now if self.authenticated_at is None else int(self.authenticated_at.timestamp())
        return {"sid": str(self.session_id), "auth_time": since, "amr": list(self.methods)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyGrant:
    """An API key, which is exchanged for a short-lived access token for its owner.

    Attributes:
        api_key_id: the claim ``api_key``.
    """

    api_key_id: UUID

    def claims(self, now: int) -> dict[str, Any]:
        """Return the claims that identify the key; each exchange authenticates it at `now`."""
        return {"api_key": str(self.api_key_id), "auth_time": now, "amr": []}


class TokenSigner:
    """Issues access tokens.

    Args:
        key: returns the private key that signs now.
        issuer: the claim ``iss``.
        audience: the claim ``aud``.
        lifetime: the time from ``iat`` to ``exp``.
    """

    def __init__(
        self,
        *,
        key: Callable[[], SigningKey],
        issuer: str,
        audience: str,
        lifetime: timedelta,
    ) -> None:
        self._key = key
        self._issuer = issuer
        self._audience = audience
        self.lifetime = lifetime

    def sign(
        self,
        *,
        subject: UUID,
        grant: SessionGrant | ApiKeyGrant,
        roles: Iterable[str],
        scopes: Iterable[str],
        not_after: datetime | None = None,
    ) -> str:
        """Return an access token for a user.

        Args:
            subject: the user's id, the claim ``sub``.
            grant: the log-in session or API key that the token is issued for.
            roles: the claim ``roles``.
            scopes: the claim ``scope``.
            not_after: the latest claim ``exp``; None sets no limit beside the lifetime.
        """
        signing = self._key()
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": signing.kid}
        now = int(time.time())
        expires = now + int(self.lifetime.total_seconds())
        if not_after is not None:
            expires = min(expires, int(not_after.timestamp()))
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(subject),
            **grant.claims(now),
            "scope": " ".join(sorted(scopes)),
            "roles": sorted(roles),
            "iat": now,
            "exp": expires,
            "jti": str(new_id()),
        }
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return jws.serialize_compact(header, payload, signing.key, algorithms=[ALGORITHM])


class TokenVerifier:
    """Verifies access tokens locally.

    A cached token is not verified again, unless the key that signed it is withdrawn or replaced.

    Args:
        keys: the issuer's public keys.
        issuer: the only accepted ``iss``.
        audience: must be the ``aud``, or one of its members.
        lifetime: the longest lifetime that the issuer sets. A token with a longer one is rejected:
            only somebody with a stolen key would sign it.
        revoked: sessions and API keys whose tokens are rejected even if they are valid.
        remembered: how many valid tokens are cached; the oldest is removed first.
    """

    def __init__(
        self,
        *,
        keys: PublicKeys,
        issuer: str,
        audience: str,
        lifetime: timedelta = _LIFETIME,
        revoked: Container[UUID] = frozenset(),
        remembered: int = _CACHE_SIZE,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._lifetime = lifetime.total_seconds()
        self._revoked = revoked
        self._remembered = remembered
        self._cache: OrderedDict[str, tuple[ECKey, Principal]] = OrderedDict()

    def verify(self, token: str) -> Principal:
        """Return the token's principal.

        Raises:
            InvalidTokenError: the token is not valid; the text is the reason.
        """
        cached = self._cache.get(token)
        # The key may have been withdrawn, or replaced under the same id, since the token was
        # cached: then the signature is verified again, with the current key.
        if cached is None or self._keys.find(cached[1].key_id) is not cached[0]:
            cached = self._remember(token)
        principal = cached[1]
        self._check_life(principal)
        return principal

    def check(self, principal: Principal) -> None:
        """Raise InvalidTokenError if the token of `principal` is no longer valid.

        It verifies no signature. The withdrawal of a key also ends the tokens that were verified
        with it before.
        """
        if self._keys.find(principal.key_id) is None:
            message = "The key that signed the access token was withdrawn. Log in."
            raise InvalidTokenError(message)
        self._check_life(principal)

    def _check_life(self, principal: Principal) -> None:
        """Raise InvalidTokenError if the token has expired, or its session or API key has ended."""
        if principal.expires_at + _CLOCK_SKEW_SECONDS <= time.time():
            message = "The access token has expired. Refresh it."
            raise InvalidTokenError(message)
        if (principal.session_id or principal.api_key_id) in self._revoked:
            message = "The log-in session or API key of the access token has ended. Log in."
            raise InvalidTokenError(message)

    def _remember(self, token: str) -> tuple[ECKey, Principal]:
        self._cache.pop(token, None)
        verified = self._verify(token)
        self._cache[token] = verified
        if len(self._cache) > self._remembered:
            self._cache.popitem(last=False)
        return verified

    def _verify(self, token: str) -> tuple[ECKey, Principal]:
        signed = verify_compact(token, keys=self._keys, typ=TYPE)
        return (signed.key, self._principal(json_object(signed.payload), signed.kid))

    def _principal(self, claims: dict[str, Any], kid: str) -> Principal:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self._issuer or self._audience not in audiences:
            message = (
                "The access token was issued by or for another system (iss, aud). Log in to this "
                "one."
            )
            raise InvalidTokenError(message)
        try:
            issued, expires = _numeric_date(claims["iat"]), _numeric_date(claims["exp"])
            starts = _numeric_date(claims.get("nbf", issued))
            principal = Principal(
                user_id=UUID(claims["sub"]),
                **_grant(claims),
                roles=_texts(claims["roles"]),
                scopes=frozenset(claims["scope"].split()),
                expires_at=expires,
                key_id=kid,
                authenticated_at=_numeric_date(claims["auth_time"]),
                methods=_texts(claims["amr"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            message = (
                "The access token lacks a claim, or has an invalid one (RFC 9068 §2.2). Log in."
            )
            raise InvalidTokenError(message) from error
        self._check_times(issued=issued, starts=starts, expires=expires)
        return principal

    def _check_times(self, *, issued: int, starts: int, expires: int) -> None:
        """Reject times that the issuer never writes; ``check`` tests the expiry at each use.

        ``nbf`` is optional, and binding if it is present (RFC 7519 §4.1.5).
        """
        now = time.time()
        if max(issued, starts) > now + _CLOCK_SKEW_SECONDS:
            message = "The access token is not valid yet (iat, nbf). Compare the clocks."
            raise InvalidTokenError(message)
        if expires > min(issued, now) + self._lifetime + _CLOCK_SKEW_SECONDS:
            message = "The access token expires later than any that is issued (exp). Log in."
            raise InvalidTokenError(message)


def _grant(claims: dict[str, Any]) -> dict[str, UUID | None]:
    """Return the session or the API key that the token was issued for; it must name one of them."""
    if ("sid" in claims) == ("api_key" in claims):
        message = "give either sid or api_key"
        raise ValueError(message)
    names = {"session_id": "sid", "api_key_id": "api_key"}
    return {name: UUID(claims[claim]) if claim in claims else None for name, claim in names.items()}


def _texts(value: object) -> frozenset[str]:
    """Return the texts of a list; reject a bare string, which would iterate as characters."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        message = "not a list of texts"
        raise TypeError(message)
    return frozenset(value)


def _numeric_date(value: object) -> int:
    """Return a NumericDate (RFC 7519 §2), a JSON number, in whole seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        message = "not a number"
        raise TypeError(message)
    return int(value)
