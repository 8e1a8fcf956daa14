"""Keys of the settings that encrypt stored secrets: a copy of the database reveals none."""

import os
from collections.abc import Sequence
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

MIN_KEY = 32
"""The fewest characters of a key in the settings."""

_KEY_BYTES = 32
_NONCE_BYTES = 12  # SP 800-38D §5.2.1.1


class UnknownKeyError(ValueError):
    """A secret was encrypted with a key that the settings do not hold, or for another owner."""


class SecretKeys:
    """The keys that encrypt secrets: the first one encrypts, each of them decrypts.

    Args:
        keys: texts of at least MIN_KEY random characters, the newest first.
        purpose: what the secrets are. Keys of another purpose do not decrypt them, even if they are
            made of the same text.
    """

    def __init__(self, keys: Sequence[str], *, purpose: bytes) -> None:
        self._ciphers = [AESGCM(_derived(key, purpose)) for key in keys]

    def seal(self, secret: bytes, *, owner: UUID) -> bytes:
        """Return a secret, encrypted so that it can be read only as that of `owner`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, secret, owner.bytes)

    def unseal(self, sealed: bytes, *, owner: UUID) -> bytes:
        """Return the secret that ``seal`` encrypted, or raise UnknownKeyError."""
        nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, encrypted, owner.bytes)
            except InvalidTag:
                continue
        message = "No key of the settings decrypts this secret. Restore the key."
        raise UnknownKeyError(message)


def checked_keys(keys: SecretStr) -> SecretStr:
    """Return the value of a setting that holds keys, or raise ValueError if one is too short."""
    if any(len(key) < MIN_KEY for key in keys_in(keys)):
        message = f"each key must have at least {MIN_KEY} characters: `openssl rand -hex 32`"
        raise ValueError(message)
    return keys


def keys_in(keys: SecretStr | None) -> list[str]:
    """Return the keys in the value of a setting, which are separated by spaces."""
    return [] if keys is None else keys.get_secret_value().split()


def _derived(key: str, purpose: bytes) -> bytes:
    """Return an AES key derived by HKDF (RFC 5869): the settings hold random text of any form."""
    derivation = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=purpose)
    return derivation.derive(key.encode())
