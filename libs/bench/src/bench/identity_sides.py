"""The sides of the rows of log-ins and tokens that need no server, each in a process of its own.

``python -m bench.identity_sides SIDE SECONDS`` prints operations, seconds and CPU as JSON.
"""

import base64
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from chassis.auth import SessionGrant, TokenSigner, TokenVerifier
from chassis.auth.keys import PublicKeys, generate_key, write_key_set
from chassis.auth.passwords import hash_threads
from chassis.auth.revocation import RevokedSessions
from chassis.auth.signing import SigningKey
from chassis.database import new_id

PASSWORD = "correct horse battery staple"  # noqa: S105 - of accounts that exist for minutes
_BATCH = 200
_ISSUER, _AUDIENCE, _LIFETIME = "https://bench.example", "bench", timedelta(minutes=10)
_SCOPES = ("notifications:read", "orders:read", "orders:write", "profile")

type Found = dict[str, float]


def hasher() -> PasswordHasher:
    """Return a hasher with the default parameters of the users service."""
    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def argon2(seconds: float) -> Found:
    """Verify one password with as many threads as the users service has."""
    one = hasher()
    stored = one.hash(PASSWORD)
    end = time.monotonic() + seconds

    def verify() -> int:
        verified = 0
        while time.monotonic() < end:
            one.verify(stored, PASSWORD)
            verified += 1
        return verified

    began, cpu = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(hash_threads()) as pool:
        counts = [pool.submit(verify) for _ in range(hash_threads())]
    return {
        "operations": sum(count.result() for count in counts),
        "seconds": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
    }


def _repeated(once: Callable[[], object], seconds: float) -> Found:
    began, cpu, number = time.monotonic(), time.process_time(), 0
    while time.monotonic() < began + seconds:
        for _ in range(_BATCH):
            once()
        number += _BATCH
    return {
        "operations": number,
        "seconds": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
    }


def tokens(side: str, seconds: float) -> Found:
    """Check one token: its bare signature, the whole token, or the cached token."""
    keys = generate_key()
    [(kid, key)] = keys.items()
    signing = SigningKey(kid=kid, key=key)
    signer = TokenSigner(
        key=lambda: signing, issuer=_ISSUER, audience=_AUDIENCE, lifetime=_LIFETIME
    )
    token = signer.sign(
        subject=new_id(),
        grant=SessionGrant(session_id=new_id()),
        roles=["customer"],
        scopes=_SCOPES,
    )
    if side == "raw":
        return _repeated(_raw_check(token, key.public_key), seconds)
    revoked = RevokedSessions(token_lifetime=_LIFETIME)
    revoked.add([new_id() for _ in range(1000)], at=datetime.now(UTC))
    with TemporaryDirectory() as directory:
        file = Path(directory) / "jwks.json"
        file.write_text(write_key_set(keys, private=False))
        verifier = TokenVerifier(
            keys=PublicKeys(file),
            issuer=_ISSUER,
            audience=_AUDIENCE,
            revoked=revoked,
            remembered=1 if side == "cached" else 0,
        )
        return _repeated(partial(verifier.verify, token), seconds)


def _raw_check(token: str, key: object) -> Callable[[], object]:
    if not isinstance(key, EllipticCurvePublicKey):
        raise TypeError
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    return partial(key.verify, der, signed.encode(), ECDSA(SHA256()))


SIDES: dict[str, Callable[[float], Found]] = {
    "argon2": argon2,
    **{side: partial(tokens, side) for side in ("raw", "fresh", "cached")},
}


def main() -> None:
    """Run one side."""
    name, seconds = sys.argv[1:]
    sys.stdout.write(json.dumps(SIDES[name](float(seconds))) + "\n")


if __name__ == "__main__":
    main()
