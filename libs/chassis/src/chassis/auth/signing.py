"""The choice of the private key that signs, while keys rotate under a running process.

A new key must not sign before every verifier has its public half: its tokens would be rejected. The
issuer can't see what verifiers have read, so it waits as long as they may cache an old version.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from joserfc.jwk import ECKey
from prometheus_client import CollectorRegistry, Gauge

from chassis.auth.keys import (
    CACHE_SECONDS,
    KeyFile,
    KeyFileError,
    PublicHalf,
    PublicKeys,
    created_at,
    public_half,
)
from chassis.errors import Unavailable

SETTLE_SECONDS = CACHE_SECONDS + 60.0
"""Seconds from the publication of a key to its first signature.

It is the cache time, plus one minute for the file to reach every process: a mounted Secret takes
about that long."""

_CHECK_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key and its id."""

    kid: str
    key: ECKey = field(repr=False)

    @property
    def public_half(self) -> PublicHalf:
        """The identifier of the public half, which must be published before this key may sign."""
        return public_half(self.kid, self.key)


class SigningKeys:
    """The private keys in a file, newest first, and the one that signs.

    The first key of the file signs once its public half has been published for `settle_seconds`.
    Until then the current key continues to sign, even if the file no longer holds it. A process
    that has just started can't know how long a key has been published, so it begins with the last
    key of the file, the oldest. A key whose public half is not published never signs. A key that is
    withdrawn from the public file stops signing at the next check.

    Args:
        file: a JWK set with private halves.
        public: the public keys that verifiers read.
        settle_seconds: the time from the publication of a key to its first signature.
        check_seconds: the shortest interval between two checks of the files.
        clock: a monotonic clock, in seconds; tests pass their own.

    Raises:
        KeyFileError: the file holds no private key whose public half is published.
    """

    def __init__(
        self,
        file: Path,
        *,
        public: PublicKeys,
        settle_seconds: float = SETTLE_SECONDS,
        check_seconds: float = _CHECK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = KeyFile(file, check_seconds=check_seconds)
        self._public = public
        self._settle_seconds = settle_seconds
        self._check_seconds = check_seconds
        self._clock = clock
        self._published_at: dict[PublicHalf, float] = {}
        self._checked = clock()
        self._current = self._choose(None)
        if self._current is None:
            message = (
                f"{file} has no private key whose public key is published. Put the public key "
                "of one of its keys into AUTH_JWKS_FILE."
            )
            raise KeyFileError(message)

    def current(self) -> SigningKey:
        """Return the key that signs now.

        Raises:
            Unavailable: no private key has a published public half any more.
        """
        if self._clock() - self._checked >= self._check_seconds:
            self._check()
        if self._current is None:
            message = (
                "No signing key is published now, so no token can be issued. Try again in a minute."
            )
            raise Unavailable(message, retry_after=60)
        return self._current

    def register_metrics(self, registry: CollectorRegistry) -> None:
        """Register when the key was made that signs now."""
        Gauge(
            "signing_key_created_timestamp_seconds",
            "When the key was made that signs access tokens (alert); 0: its file does not say, or "
            "no key may sign.",
            registry=registry,
        ).set_function(lambda: created_at(self._current.key) or 0 if self._current else 0)

    async def watch(self) -> None:
        """Check the files periodically until cancelled.

        Without this, an idle process would detect a new key only at its next signature, and its
        `settle_seconds` would begin that late.
        """
        while True:
            await asyncio.sleep(self._check_seconds)
            self._check()

    def _check(self) -> None:
        self._checked = self._clock()
        before = self._current
        self._current = self._choose(before)
        if self._current is None:
            log.error("signing key missing", withdrawn=None if before is None else before.kid)
        elif self._current != before:
            log.info(
                "signing key changed",
                kid=self._current.kid,
                previous=None if before is None else before.kid,
            )

    def _choose(self, current: SigningKey | None) -> SigningKey | None:
        now = self._clock()
        self._published_at = {
            half: self._published_at.get(half, now) for half in self._public.halves()
        }
        usable = [key for key in self._private() if key.public_half in self._published_at]
        for key in usable:
            if now - self._published_at[key.public_half] >= self._settle_seconds:
                return key
        if current is not None and current.public_half in self._published_at:
            return current
        return usable[-1] if usable else None

    def _private(self) -> Iterator[SigningKey]:
        for kid, key in self._file.keys.items():
            if key.is_private:
                yield SigningKey(kid=kid, key=key)
