"""Access tokens for tests, signed with a key of their own."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from chassis.auth.keys import generate_key_sets, read_key_set
from chassis.auth.signing import SigningKey
from chassis.auth.tokens import ApiKeyGrant, SessionGrant, TokenSigner
from chassis.database.ids import new_id

ISSUER = "http://test"
AUDIENCE = "slipway"


class TestTokens:
    """Issues tokens that a service under test accepts, if it reads ``jwks_file``.

    Args:
        directory: where the key files are written.
    """

    __test__ = False  # the name begins like a test's

    def __init__(self, directory: Path) -> None:
        private, public = generate_key_sets()
        self.jwks_file = directory / "jwks.json"
        self.signing_keys_file = directory / "signing-keys.json"
        self.jwks_file.write_text(public, encoding="utf-8")
        self.signing_keys_file.write_text(private, encoding="utf-8")
        (kid, key), *_ = read_key_set(self.signing_keys_file).items()
        self._key = SigningKey(kid=kid, key=key)

    def token(
        self,
        *,
        subject: UUID | None = None,
        scopes: Iterable[str] = (),
        roles: Iterable[str] = ("customer",),
        lifetime: timedelta = timedelta(minutes=10),
        audience: str = AUDIENCE,
        session_id: UUID | None = None,
        api_key_id: UUID | None = None,
    ) -> str:
        """Return an access token of a log-in session, or of an API key if its id is given.

        Without an id, the session is a new one.
        """
        signer = TokenSigner(
            key=lambda: self._key, issuer=ISSUER, audience=audience, lifetime=lifetime
        )
        return signer.sign(
            subject=subject or new_id(),
            grant=SessionGrant(session_id=session_id or new_id())
            if api_key_id is None
            else ApiKeyGrant(api_key_id=api_key_id),
            roles=roles,
            scopes=scopes,
        )

    def headers(self, *, subject: UUID | None = None, scopes: Iterable[str] = ()) -> dict[str, str]:
        """Return the Authorization header of a caller."""
        return {"Authorization": f"Bearer {self.token(subject=subject, scopes=scopes)}"}
