"""Opaque tokens: random texts whose holder is recognised by a stored hash."""

import hashlib
import secrets

_TOKEN_BYTES = 32


def new_token() -> str:
    """Return a new token of 256 random bits, in Base64url."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def token_hash(token: str) -> bytes:
    """Return the SHA-256 under which a token is stored. It accepts any text.

    A fast hash is enough for a token of at least 112 random bits (NIST SP 800-63B-4 §3.1.2.2).
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
