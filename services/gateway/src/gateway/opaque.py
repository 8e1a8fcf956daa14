"""Field values that are not UTF-8: held as `str` in the gateway, and sent on byte for byte.

A recipient treats bytes beyond ASCII as opaque (RFC 9110 §5.5). The services interpret them.
"""

import secrets

from aiohttp.typedefs import LooseHeaders
from multidict import CIMultiDict

from gateway.library_internals.aiohttp import HeadRequest

_ENCODING = "utf-8"
_ERRORS = "surrogateescape"  # bytes that are not UTF-8 become lone surrogates, and back


def text_of(value: bytes) -> str:
    """Return any bytes as a `str` that `bytes_of` converts back."""
    return value.decode(_ENCODING, _ERRORS)


def bytes_of(text: str) -> bytes:
    """Return the bytes that `text_of` made the text from."""
    return text.encode(_ENCODING, _ERRORS)


def is_text(value: str) -> bool:
    """Return whether `text_of` made the text from valid UTF-8."""
    if value.isascii():
        return True
    try:
        value.encode(_ENCODING)
    except UnicodeEncodeError:
        return False
    return True


class OpaqueRequest(HeadRequest):
    """Writes values made by `text_of` as their original bytes.

    aiohttp drops lone surrogates. So a random placeholder, which a client can't guess, takes the
    place of such a value until the head is serialised.
    """

    def fields_taken(self, fields: LooseHeaders | None) -> LooseHeaders | None:
        """Return the fields, with placeholders for values that are not UTF-8."""
        if isinstance(fields, CIMultiDict) and not "".join(fields.values()).isascii():
            return self._with_placeholders(fields)
        return fields

    def _with_placeholders(self, headers: CIMultiDict[str]) -> CIMultiDict[str]:
        replaced: CIMultiDict[str] = CIMultiDict()
        placeholders = {}
        for name, value in headers.items():
            text = value
            if not is_text(value):
                text = secrets.token_hex(16)
                placeholders[text.encode()] = bytes_of(value)
            replaced.add(name, text)
        if placeholders:
            self.replacements = placeholders
        return replaced
