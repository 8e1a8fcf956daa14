"""How long a response may be kept, and for whom (RFC 9111 §3, §4.2; RFC 5861)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.exchange import FieldLines
from gateway.links.fields import value_of

_DIRECTIVE = re.compile(
    rb"[\s,]*(?P<name>[!#$%&\'*+.^_`|~0-9A-Za-z-]+)"
    rb'(?:=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,]*)))?'
)
_MAX_SECONDS = 2**31  # RFC 9111 §1.2.2: what is larger counts as this
_MAX_DIGITS = 20  # int() takes time that grows with the square of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """What a response says about keeping it.

    Attributes:
        stored: whether a shared cache may keep it.
        public: whether it may also serve requests with a credential (RFC 9111 §3.5).
        seconds: how long it is fresh.
        stale_seconds: for how long after that it may be sent while it is being renewed.
        stale_on_error_seconds: for how long after that it may be sent if the service fails.
    """

    stored: bool
    public: bool = False
    seconds: int = 0
    stale_seconds: int = 0
    stale_on_error_seconds: int = 0


_NOT_STORED = Freshness(stored=False)


def directives_of(value: bytes) -> Mapping[bytes, bytes]:
    """Return the directives of a Cache-Control, in lower case. Of a repeated one the first counts.

    A value that can't be read to its end says `no-store`: the part that is lost might have said so.
    """
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(value) and value[position:].strip(b" \t,"):
        directive = _DIRECTIVE.match(value, position)
        if directive is None:
            return {b"no-store": b""}
        quoted, plain = directive["quoted"], directive["plain"]
        found.setdefault(directive["name"].lower(), plain if quoted is None else quoted or b"")
        position = directive.end()
    return {name: text or b"" for name, text in found.items()}


def freshness_of(fields: FieldLines) -> Freshness:
    """Return how long a response is fresh for a shared cache.

    Without `max-age` or `s-maxage` it is not kept: the gateway guesses no lifetimes, and ignores
    `Expires`, which no service of ours sends.
    """
    value = value_of(fields, b"cache-control")
    if value is None:
        return _NOT_STORED
    said = directives_of(value)
    if said.keys() & {b"no-store", b"private"}:
        return _NOT_STORED
    lifetime = said.get(b"s-maxage", said.get(b"max-age"))
    if lifetime is None:
        return _NOT_STORED
    seconds = 0 if b"no-cache" in said else _seconds(lifetime)
    # s-maxage implies proxy-revalidate (§5.2.2.10): nothing stale is sent then.
    strict = said.keys() & {b"must-revalidate", b"proxy-revalidate", b"no-cache", b"s-maxage"}
    return Freshness(
        stored=True,
        public=b"public" in said,
        seconds=seconds,
        stale_seconds=0 if strict else _seconds(said.get(b"stale-while-revalidate", b"")),
        stale_on_error_seconds=0 if strict else _seconds(said.get(b"stale-if-error", b"")),
    )


def age_of(fields: FieldLines) -> int:
    """Return how old a response was when it arrived, by its Age (RFC 9111 §5.1)."""
    return _seconds(value_of(fields, b"age") or b"")


def _seconds(text: bytes) -> int:
    """Return delta-seconds; 0, which is stale, for what is none (RFC 9111 §4.2.1)."""
    return min(int(text), _MAX_SECONDS) if text.isdigit() and len(text) <= _MAX_DIGITS else 0
