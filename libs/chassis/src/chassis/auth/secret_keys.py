"""Keys of the settings that encrypt stored secrets: a copy of the database reveals none."""

from collections.abc import Sequence
from uuid import UUID

from cryptography.exceptions import InvalidTag
from pydantic import SecretStr

from chassis.auth.encryption import DerivedCipher

MIN_KEY = 32
"""The fewest characters of a key in the settings."""


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
        self._ciphers = [DerivedCipher(key, purpose=purpose) for key in keys]

    def seal(self, secret: bytes, *, owner: UUID) -> bytes:
        """Return a secret, encrypted so that it can be read only as that of `owner`."""
        return self._ciphers[0].encrypt(secret, context=owner.bytes)

    def unseal(self, sealed: bytes, *, owner: UUID) -> bytes:
        """Return the secret that ``seal`` encrypted, or raise UnknownKeyError."""
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed, context=owner.bytes)
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
