"""Signing keys and their public halves, as JWK sets in files (RFC 7517).

Only the issuer holds the private set; every other process mounts the public one. Both files are
reloaded when they change, so that keys rotate without a restart.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from chassis.error_text import describe

ALGORITHM = "ES256"
CACHE_SECONDS = 300
"""Seconds that a reader may cache the published set (its ``Cache-Control: max-age``)."""

type KeySet = Mapping[str, ECKey]
"""Keys by ``kid``, in the order of their file."""

_CURVE = "P-256"
_CREATED = "iat"  # as in OpenID Federation 1.0 §8.7.2; only in the private set
_CHECK_SECONDS = 5.0

log = structlog.get_logger(__name__)


class KeyFileError(ValueError):
    """A key file is not usable; the text names the file and the fault."""


def generate_key_sets() -> tuple[str, str]:
    """Return the private and the public JWK set of a new signing key, as JSON texts."""
    keys = generate_key()
    return (write_key_set(keys, private=True), write_key_set(keys, private=False))


def generate_key() -> dict[str, ECKey]:
    """Return a new signing key by its ``kid``, which is its thumbprint (RFC 7638)."""
    made: dict[str, Any] = {**ECKey.generate_key(_CURVE, private=True).as_dict(private=True)}
    made[_CREATED] = int(time.time())
    key = ECKey.import_key(made)
    return {key.thumbprint(): key}


def write_key_set(keys: KeySet, *, private: bool) -> str:
    """Return a JWK set as a JSON text, in the order of `keys`.

    Args:
        keys: by ``kid``.
        private: whether to include the private halves.
    """
    return json.dumps({"keys": [_jwk(kid, keys[kid], private=private) for kid in keys]}, indent=2)


def _jwk(kid: str, key: ECKey, *, private: bool) -> dict[str, str | int]:
    fields: Mapping[str, object] = {**key.as_dict(private=private)}
    own = {name: str(fields[name]) for name in ("kty", "crv", "x", "y", "d") if name in fields}
    created = created_at(key) if private else None
    made = {} if created is None else {_CREATED: created}
    return {**own, "kid": kid, "use": "sig", "alg": ALGORITHM, **made}


def created_at(key: ECKey) -> int | None:
    """Return when a private key was made, in seconds since 1970; None if its file does not say."""
    found: object = key.as_dict(private=key.is_private).get(_CREATED)
    return found if isinstance(found, int) else None


def read_key_set(file: Path) -> dict[str, ECKey]:
    """Return the keys of a JWK set by ``kid``, in the file's order.

    Raises:
        KeyFileError: the file is missing, is not JSON, holds no key, or holds a key that is not
            P-256, is not for signatures with ES256, or has no ``kid``.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["keys"]
        keys = {str(entry["kid"]): ECKey.import_key(_checked(entry)) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError, JoseError) as error:
        message = (
            f"{file} is not a JWK set of {_CURVE} keys with a kid each (RFC 7517): "
            f"{describe(error)}. Correct the file."
        )
        raise KeyFileError(message) from error
    if not keys or any(key.curve_name != _CURVE for key in keys.values()):
        message = (
            f"{file} has no key, or a key that is not of the curve {_CURVE}. Give it at least one "
            f"key, and only keys of {_CURVE}."
        )
        raise KeyFileError(message)
    return keys


def _checked(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the key's own fields.

    Raises:
        ValueError: ``use``, ``key_ops`` or ``alg`` restrict the key to something else (RFC 7517
            §4.2 to §4.4). Libraries accept signatures of such a key.
    """
    operations = entry.get("key_ops", ["verify"])
    if (
        entry.get("use", "sig") != "sig"
        or entry.get("alg", ALGORITHM) != ALGORITHM
        or not isinstance(operations, list)
        or not {"sign", "verify"}.intersection(operations)
    ):
        message = f"the key {entry.get('kid')!r} is not for signatures with {ALGORITHM}"
        raise ValueError(message)
    used = ("kty", "crv", "x", "y", "d", "kid", _CREATED)
    return {name: entry[name] for name in used if name in entry}


class KeyFile:
    """The keys in a file, reloaded when it changes.

    A new version that can't be read is logged once, and the known keys stay. A key that is in both
    versions keeps its object, so callers may compare by identity.

    Args:
        file: a JWK set.
        check_seconds: the shortest interval between two checks for a change of the file.

    Raises:
        KeyFileError: the file holds no valid JWK set at the start.
    """

    def __init__(self, file: Path, *, check_seconds: float = _CHECK_SECONDS) -> None:
        self._file = file
        self._check_seconds = check_seconds
        # Read the version before the keys: a change in between causes a reload at the next check.
        self._version = self._stat() if file.exists() else None
        self._keys = read_key_set(file)
        self._checked = time.monotonic()
        self._fault: str | None = None

    @property
    def keys(self) -> KeySet:
        """The current keys by ``kid``."""
        if time.monotonic() - self._checked >= self._check_seconds:
            self._reload()
        return self._keys

    def _reload(self) -> None:
        self._checked = time.monotonic()
        try:
            version = self._stat()
            if version != self._version:
                found = read_key_set(self._file)
                self._keys = {kid: self._known(kid, key) for kid, key in found.items()}
                self._version = version
        except (OSError, KeyFileError) as error:  # a half-written file is read at the next check
            fault = describe(error)
            if fault != self._fault:  # else a rotation that failed would go unnoticed, or fill logs
                log.warning("key file not reloaded", file=str(self._file), error=fault)
            self._fault = fault
        else:
            self._fault = None

    def _known(self, kid: str, key: ECKey) -> ECKey:
        known = self._keys.get(kid)
        if known is None or known.is_private != key.is_private:
            return key
        return known if known.thumbprint() == key.thumbprint() else key

    def _stat(self) -> tuple[int, int]:
        status = self._file.stat()
        return (status.st_mtime_ns, status.st_ino)


type PublicHalf = tuple[str, str]
"""A key's id and its thumbprint (RFC 7638), so that two keys with the same id differ."""


def public_half(kid: str, key: ECKey) -> PublicHalf:
    """Return what identifies the public half of a key."""
    return (kid, key.thumbprint())


class PublicKeys:
    """The public keys in a file, which verify tokens and which the issuer publishes.

    Args:
        file: a JWK set.
        check_seconds: the shortest interval between two checks for a change of the file.

    Raises:
        KeyFileError: the file holds no valid JWK set at the start.
    """

    def __init__(self, file: Path, *, check_seconds: float = _CHECK_SECONDS) -> None:
        self._file = KeyFile(file, check_seconds=check_seconds)

    def find(self, kid: str) -> ECKey | None:
        """Return the key with this id, or None."""
        return self._file.keys.get(kid)

    def halves(self) -> set[PublicHalf]:
        """Return the identifiers of all keys in the file."""
        return {public_half(kid, key) for kid, key in self._file.keys.items()}

    def published(self) -> list[dict[str, str | int]]:
        """Return the keys as the issuer publishes them: JWKs (RFC 7517) without private parts."""
        return [_jwk(kid, key, private=False) for kid, key in self._file.keys.items()]
