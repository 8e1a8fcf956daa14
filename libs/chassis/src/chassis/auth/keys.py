"""Signing keys and their public halves, as JWK sets in files (RFC 7517).

The private set is the issuer's alone; everybody else mounts the public one, which is read again
when the file changes, so that keys rotate without a restart.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

ALGORITHM = "ES256"
_CURVE = "P-256"
_CHECK_SECONDS = 5.0


class KeyFileError(ValueError):
    """A key file that can't be used; the text names the file and what is wrong with it."""


def generate_key_sets() -> tuple[str, str]:
    """Make one signing key; answers the private and the public JWK set, as JSON texts."""
    key = ECKey.generate_key(_CURVE, private=True)
    return (_set_of(key, private=True), _set_of(key, private=False))


def _public_jwk(kid: str, key: ECKey) -> dict[str, str]:
    fields = key.as_dict(private=False)
    public = {name: str(fields[name]) for name in ("kty", "crv", "x", "y")}
    return {**public, "kid": kid, "use": "sig", "alg": ALGORITHM}


def _set_of(key: ECKey, *, private: bool) -> str:
    fields = {**key.as_dict(private=private), "kid": key.thumbprint(), "alg": ALGORITHM}
    return json.dumps({"keys": [{**fields, "use": "sig"}]}, indent=2)


def read_key_set(file: Path) -> dict[str, ECKey]:
    """Read a JWK set; answers its keys by ``kid``, in the file's order.

    Raises:
        KeyFileError: no such file, no JSON, no key, or a key that is not P-256 with a ``kid``.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["keys"]
        keys = {str(entry["kid"]): ECKey.import_key(_plain(entry)) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError, JoseError) as error:
        message = f"{file} holds no JWK set of {_CURVE} keys with a kid each: {error!r}"
        raise KeyFileError(message) from error
    if not keys or any(key.curve_name != _CURVE for key in keys.values()):
        message = f"{file} must hold one {_CURVE} key at least, and no other kind"
        raise KeyFileError(message)
    return keys


def _plain(entry: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Keep the key's own fields: what it is for is decided here, not by the file."""
    return {name: entry[name] for name in ("kty", "crv", "x", "y", "d", "kid") if name in entry}


class PublicKeys:
    """The public keys in a file, read again when it changes; a broken new version is not taken.

    Args:
        file: a JWK set; KeyFileError where it is none at the start.
        check_seconds: how long the file is not looked at again.
    """

    def __init__(self, file: Path, *, check_seconds: float = _CHECK_SECONDS) -> None:
        self._file = file
        self._check_seconds = check_seconds
        # First the version, then the keys: what changes in between is read again.
        self._version = self._stat() if file.exists() else None
        self._keys = read_key_set(file)
        self._checked = time.monotonic()

    def find(self, kid: str) -> ECKey | None:
        """Find a key by its id."""
        if time.monotonic() - self._checked >= self._check_seconds:
            self._reload()
        return self._keys.get(kid)

    def published(self) -> list[dict[str, str]]:
        """Give the keys as the issuer publishes them: JWKs (RFC 7517) without private parts."""
        if time.monotonic() - self._checked >= self._check_seconds:
            self._reload()
        return [_public_jwk(kid, key) for kid, key in self._keys.items()]

    def _reload(self) -> None:
        self._checked = time.monotonic()
        try:
            version = self._stat()
            if version != self._version:
                self._keys = read_key_set(self._file)
                self._version = version
        except (OSError, KeyFileError):
            return  # the keys that are known stay good; a half-written file is read next time

    def _stat(self) -> tuple[int, int]:
        status = self._file.stat()
        return (status.st_mtime_ns, status.st_ino)
