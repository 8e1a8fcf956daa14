"""The content codings that the gateway applies: which one a client prefers, and how it is made."""

import sys
import zlib
from enum import StrEnum

from gateway.links.quality import weights_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["Coding", "coding_for", "compressed", "zstd"]


class Coding(StrEnum):
    """A content coding (RFC 9110 §8.4.1)."""

    ZSTD = "zstd"
    GZIP = "gzip"


# Measured on pages of this API (45 KB): zstd 3 takes 0.24 ms for a ratio of 0.24, gzip 1 0.65 ms
# for 0.30, gzip 6 1.4 ms for 0.25. The loop serves nobody else in that time.
_ZSTD_LEVEL = 3
_GZIP_LEVEL = 1
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # with gzip's head and check sum
_IDENTITY = b"identity"


def coding_for(accept_encoding: bytes) -> Coding | None:
    """Return the coding that a client prefers (RFC 9110 §12.5.3); None to send the body as it is.

    The highest weight wins. Of equal weights, the cheaper coding wins: zstd, gzip, none. A client
    that accepts nothing at all gets the body as it is, which a server may send in any case.
    """
    weights = weights_of(accept_encoding)
    rest = weights.get(b"*")
    best, weight = None, 0.0
    for coding in Coding:
        own = weights.get(coding.encode(), rest or 0.0)
        if own > weight:
            best, weight = coding, own
    identity = weights.get(_IDENTITY)
    return None if identity is not None and identity > weight else best


def compressed(body: bytes, coding: Coding) -> bytes:
    """Return `body` in the coding."""
    if coding is Coding.ZSTD:
        return zstd.compress(body, _ZSTD_LEVEL)
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(body) + packer.flush()
