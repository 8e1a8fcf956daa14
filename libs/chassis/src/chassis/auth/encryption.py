"""Encryption of values at rest: AES-256-GCM under a key that is derived from a secret text."""

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES = 32
_NONCE_BYTES = 12  # SP 800-38D §5.2.1.1


class DerivedCipher:
    """Encrypts with a key that HKDF (RFC 5869) derives from a secret.

    Args:
        secret: random text of any form. It needs no salt and no slow hash if it has 128 random bits
            or more.
        purpose: what is encrypted. The same secret gives another key for another purpose.
    """

    def __init__(self, secret: str, *, purpose: bytes) -> None:
        derivation = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=purpose)
        self._cipher = AESGCM(derivation.derive(secret.encode()))

    def encrypt(self, plain: bytes, *, context: bytes | None = None) -> bytes:
        """Return a random nonce with the encrypted bytes.

        Args:
            plain: the bytes.
            context: what ``decrypt`` must be given too, such as the id of the row.
        """
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, context)

    def decrypt(self, encrypted: bytes, *, context: bytes | None = None) -> bytes:
        """Return the bytes that ``encrypt`` was given.

        Raises:
            cryptography.exceptions.InvalidTag: they were encrypted with another secret, for another
                purpose or context, or have changed.
        """
        nonce, rest = encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:]
        return self._cipher.decrypt(nonce, rest, context)
