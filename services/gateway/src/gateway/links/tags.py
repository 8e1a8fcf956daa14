"""The marks of entity tags: ``"7"`` of a service is ``"7-gzip"`` once its body is compressed.

Two representations of a resource must not share a strong tag (RFC 9110 §8.8.3). The service knows
only its own tag, so the gateway removes the marks from preconditions before it passes them on.
Without that, no client that was sent a compressed body could ever change the resource.
"""

import re

from gateway.links.codings import Coding

XML_MARK = b"-xml"
_MARKS = b"|".join([XML_MARK, *(b"-%b" % coding.encode() for coding in Coding)])
# One tag of a list. A tag may contain commas, so a list can't be split at them.
_TAG = re.compile(
    rb'(?P<weak>W/)?"(?P<base>[\x21\x23-\x7e\x80-\xff]*?)(?P<marks>(?:%b)*)"' % _MARKS
)


def marks_of(*, xml: bool, coding: Coding | None) -> bytes:
    """Return the marks of a representation, in their order: ``-xml-gzip``."""
    return (XML_MARK if xml else b"") + (b"" if coding is None else b"-%b" % coding.encode())


def marked(tag: bytes, marks: bytes) -> bytes:
    """Return a tag with marks; a value that is not a tag stays as it is."""
    return tag[:-1] + marks + b'"' if marks and tag.endswith(b'"') else tag


def without_marks(line: bytes) -> bytes:
    """Return a line of If-Match or If-None-Match with the tags that the service gave."""
    if b"-" not in line:
        return line
    return _TAG.sub(lambda tag: b'%b"%b"' % (tag["weak"] or b"", tag["base"]), line)


def of_media(line: bytes, *, xml: bool) -> list[tuple[bytes, bytes]]:
    """Return the tags of an If-None-Match that belong to JSON or to XML, with their marks.

    A client that holds the JSON document must not be told that its copy is the XML one. Codings
    don't matter here: what the client holds, it could decode.

    Returns:
        Pairs of the service's tag, without ``W/``, and the marks that the client's tag has.
    """
    return [
        (b'"%b"' % tag["base"], tag["marks"])
        for tag in _TAG.finditer(line)
        if tag["marks"].startswith(XML_MARK) is xml
    ]


def names_tag(line: bytes, tag: bytes) -> bool:
    """Return whether an If-None-Match names a tag, by the weak comparison (RFC 9110 §13.1.2)."""
    if line.strip() == b"*":
        return True
    wanted = tag.removeprefix(b"W/")
    return any(b'"%b%b"' % (each["base"], each["marks"]) == wanted for each in _TAG.finditer(line))
