"""A key with its public half in a file, a verifier that uses it, and tokens built by hand."""

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from chassis.auth.keys import PublicKeys
from chassis.auth.tokens import TokenVerifier
from chassis.database.ids import new_id
from testkit.tokens import AUDIENCE, ISSUER

KID = "the-key"


class Forge:
    """Builds any token that the owner of the key could build, well-formed or not."""

    kid = KID

    def __init__(self, key: ECKey) -> None:
        self.key = key

    def claims(self, **changes: object) -> dict[str, Any]:
        """Return valid claims, with the given changes."""
        now = int(time.time())
        good = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(new_id()),
            "sid": str(new_id()),
            "auth_time": now,
            "amr": ["pwd"],
            "scope": "orders:read orders:write",
            "roles": ["customer"],
            "iat": now,
            "exp": now + 600,
            "jti": str(new_id()),
        }
        return {**good, **changes}

    def header(self, **changes: object) -> dict[str, Any]:
        """Return a valid header, with the given changes."""
        return {"alg": "ES256", "typ": "at+jwt", "kid": KID, **changes}

    def token(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """Sign with ES256, whatever algorithm the header names."""
        return self.raw(json.dumps(header).encode(), json.dumps(claims).encode())

    def raw(self, header: bytes, payload: bytes) -> str:
        """Sign bytes that need not be JSON."""
        signing_input = f"{self.encode(header)}.{self.encode(payload)}"
        signature = jws.JWSRegistry.algorithms["ES256"].sign(signing_input.encode(), self.key)
        return f"{signing_input}.{self.encode(signature)}"

    @staticmethod
    def encode(raw: bytes) -> str:
        """Encode as base64url without padding, as JWS does."""
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture(scope="session")
def forge() -> Forge:
    return Forge(ECKey.generate_key("P-256", private=True))


@pytest.fixture
def jwks_file(forge: Forge, tmp_path: Path) -> Path:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [{**forge.key.as_dict(private=False), "kid": KID}]}))
    return file


@pytest.fixture
def verifier(jwks_file: Path) -> TokenVerifier:
    return TokenVerifier(keys=PublicKeys(jwks_file), issuer=ISSUER, audience=AUDIENCE)
