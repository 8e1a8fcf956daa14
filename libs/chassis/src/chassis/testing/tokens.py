"""Access tokens for tests, signed by a key of their own."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from chassis.auth.keys import generate_key_sets, read_key_set
from chassis.auth.tokens import TokenSigner
from chassis.database.models import new_id

ISSUER = "http://test"
AUDIENCE = "slipway"


class TestTokens:
    """Issues tokens that a service under test accepts, if it reads ``jwks_file``.

    Args:
        directory: where the key files go.
    """

    __test__ = False  # the name begins like a test's

    def __init__(self, directory: Path) -> None:
        private, public = generate_key_sets()
        self.jwks_file = directory / "jwks.json"
        self.signing_keys_file = directory / "signing-keys.json"
        self.jwks_file.write_text(public, encoding="utf-8")
        self.signing_keys_file.write_text(private, encoding="utf-8")
        (kid, key), *_ = read_key_set(self.signing_keys_file).items()
        self._signers = (kid, key)

    def token(
        self,
        *,
        subject: UUID | None = None,
        scopes: Iterable[str] = (),
        roles: Iterable[str] = ("customer",),
        lifetime: timedelta = timedelta(minutes=10),
        audience: str = AUDIENCE,
    ) -> str:
        """Make an access token."""
        kid, key = self._signers
        signer = TokenSigner(key=key, kid=kid, issuer=ISSUER, audience=audience, lifetime=lifetime)
        return signer.sign(
            subject=subject or new_id(), session=new_id(), roles=roles, scopes=scopes
        )

    def headers(self, *, subject: UUID | None = None, scopes: Iterable[str] = ()) -> dict[str, str]:
        """Make the Authorization header of a caller."""
        return {"Authorization": f"Bearer {self.token(subject=subject, scopes=scopes)}"}
