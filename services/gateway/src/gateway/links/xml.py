"""JSON documents as XML. The mapping is in docs/guides/xml.md.

Only the gateway's and the services' own JSON is read here. No XML is ever parsed.
"""

import json
import re
from collections.abc import Callable
from typing import NoReturn

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_PROBLEM_NAMESPACE = "urn:ietf:rfc:7807"  # RFC 9457, appendix B
_ITEM, _MEMBER = "i", "member"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
# What XML 1.0 can't hold, not even as a character reference (§2.2).
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# A reader turns a bare CR into LF (§2.11), and in an attribute each of these into a space (§3.3.3).
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }
)


class NotJson(Exception):
    """The body is not a JSON document, or one nested too deeply (some 900 levels)."""


class _Number(str):
    """A number as the service wrote it: a float would change its digits."""

    __slots__ = ()


def xml_of(body: bytes) -> bytes:
    """Return a JSON document as XML, with the root ``response``.

    Raises:
        NotJson: it is not one.
    """
    return _written("response", "", _read(body), typed=True)


def problem_xml_of(body: bytes) -> bytes:
    """Return a problem document as XML (RFC 9457, appendix B): without types, and without nulls.

    Raises:
        NotJson: it is not JSON.
    """
    return _written("problem", f' xmlns="{_PROBLEM_NAMESPACE}"', _read(body), typed=False)


def _read(body: bytes) -> object:
    try:
        return json.loads(
            body, parse_int=_Number, parse_float=_Number, parse_constant=_reject_constant
        )
    except (ValueError, RecursionError) as error:
        raise NotJson from error


def _reject_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _written(root: str, attributes: str, value: object, *, typed: bool) -> bytes:
    parts = [_DECLARATION]
    try:
        _Writer(parts.append, typed=typed).write(root, attributes, value)
    except RecursionError as error:
        raise NotJson from error
    return "".join(parts).encode()


class _Writer:
    def __init__(self, put: Callable[[str], None], *, typed: bool) -> None:
        self._put = put
        self._typed = typed
        self._tags: dict[str, tuple[str, str]] = {}

    def write(self, name: str, attributes: str, value: object) -> None:
        """Write one element."""
        if isinstance(value, dict):
            self._open(name, attributes, "object")
            for key, member in value.items():
                if member is not None or self._typed:
                    tag = self._tags.get(key) or self._tags.setdefault(key, _tag_of(key))
                    self.write(*tag, member)
        elif isinstance(value, list):
            self._open(name, attributes, "array")
            for item in value:
                self.write(_ITEM, "", item)
        else:
            self._leaf(name, attributes, value)
            return
        self._put(f"</{name}>")

    def _leaf(self, name: str, attributes: str, value: object) -> None:
        match value:
            case None:
                kind, text = "null", ""
            case bool():
                kind, text = "boolean", "true" if value else "false"
            case _Number():
                kind, text = "number", value
            case _:
                kind, text = "", str(value)
                if _UNFIT.search(text):
                    text = json.dumps(text)[1:-1]
                    attributes += ' escaped="json"'
                text = text.translate(_TEXT)
        self._open(name, attributes, kind)
        self._put(f"{text}</{name}>")

    def _open(self, name: str, attributes: str, kind: str) -> None:
        typed = f' type="{kind}"' if kind and self._typed else ""
        self._put(f"<{name}{attributes}{typed}>")


def _tag_of(key: str) -> tuple[str, str]:
    """Return the element's name and attributes for a member of an object.

    A key that is no name of XML, or that the mapping uses itself, becomes an attribute.
    """
    if _NAME.fullmatch(key) and key not in {_ITEM, _MEMBER} and not key.lower().startswith("xml"):
        return key, ""
    escaped = ""
    if _UNFIT.search(key):
        key, escaped = json.dumps(key)[1:-1], ' escaped-name="json"'
    return _MEMBER, f' name="{key.translate(_ATTRIBUTE)}"{escaped}'
