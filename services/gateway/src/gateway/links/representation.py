"""The form in which a client gets a response: JSON or XML, compressed or not, with its own tag."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from chassis.wire_names import JSON, PROBLEM
from gateway.errors import Refused
from gateway.exchange import READS, FieldLines, UpstreamAnswer, UpstreamRequest
from gateway.links.codings import Coding, coding_for, compressed
from gateway.links.fields import replaced, value_of, without
from gateway.links.media import Media, media_for, media_of_problem
from gateway.links.tags import XML_MARK, marked, marks_of, of_media, without_marks
from gateway.links.xml import NotJson, problem_xml_of, xml_of

MIN_COMPRESSED_BYTES: Final = 1024
"""Smaller bodies fit one packet in any case."""
MAX_COMPRESSED_BYTES: Final = 256 * 1024
"""Larger bodies are passed on as they come: 256 KiB take up to 4 ms, in which the loop waits."""
_MAX_PREFERENCES = 1024  # a browser sends 150 bytes; longer lists would cost time, and memory
_REMEMBERED = 256  # clients choose the fields; the bound limits memory
_NOT_MODIFIED = 304
_UNCHANGED = frozenset({204, 206})  # without a body, or with a part of one
_XML, _PROBLEM_XML = b"application/xml", b"application/problem+xml"
_JSON, _PROBLEM = JSON.encode(), PROBLEM.encode()
_COMPRESSIBLE = frozenset({_JSON, _XML, b"application/javascript"})
_EVENTS = b"text/event-stream"
NEGOTIATED_FIELDS: Final = frozenset({b"accept", b"accept-encoding", b"if-match", b"if-none-match"})
"""The fields of a request that `choice_of` reads. Without any of them every response stays."""
_READ = NEGOTIATED_FIELDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one client prefers.

    Attributes:
        head: whether the method is HEAD.
        media: the form of a document.
        problem: the form of a problem document.
        coding: the coding for a body that is worth it.
        known: the tags that the client's If-None-Match names in the chosen form: the service's
            tag, and the marks that the client's has.
    """

    head: bool = False
    media: Media = Media.JSON
    problem: Media = Media.JSON
    coding: Coding | None = None
    known: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def changes_nothing(self) -> bool:
        """Whether every response is passed back as the service made it."""
        return self.coding is None and self.media is self.problem is Media.JSON and not self.known


class Preferences:
    """What clients prefer, by the fields that say so. Few clients differ, so it is remembered."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes | None, bytes | None, bool], Choice] = {}

    def choice(self, accept: bytes | None, accept_encoding: bytes | None, *, head: bool) -> Choice:
        """Return what a client prefers.

        Args:
            accept: its Accept, if any.
            accept_encoding: its Accept-Encoding, if any.
            head: whether the method is HEAD.

        Raises:
            Refused: 406 if it accepts neither JSON nor XML.
        """
        if accept is not None and len(accept) > _MAX_PREFERENCES:
            accept = None
        if accept_encoding is not None and len(accept_encoding) > _MAX_PREFERENCES:
            accept_encoding = None
        key = (accept, accept_encoding, head)
        choice = self._known.get(key)
        if choice is None:
            choice = _preferred(accept, accept_encoding, head=head)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = choice
        return choice


def choice_of(request: UpstreamRequest, preferences: Preferences) -> Choice:
    """Return what the client prefers, and make the request's fields those for the service.

    Args:
        request: the request.
        preferences: what is known of clients.

    Raises:
        Refused: 406 if the client accepts neither JSON nor XML.
    """
    sent = {name: value_of(request.fields, name) for name, _ in request.fields if name in _READ}
    choice = preferences.choice(
        sent.get(b"accept"), sent.get(b"accept-encoding"), head=request.method == b"HEAD"
    )
    changes = []
    if choice.media is Media.XML:
        changes.append((b"accept", _JSON))
    if choice.coding is not None:
        changes.append((b"accept-encoding", b"identity"))
    if changes:
        request.fields = replaced(request.fields, changes)
    if b"if-match" in sent or b"if-none-match" in sent:
        known, request.fields = _preconditions(request.method, request.fields, choice.media)
        if known:
            return replace(choice, known=known)
    return choice


def _preferred(accept: bytes | None, accept_encoding: bytes | None, *, head: bool) -> Choice:
    media = Media.JSON if accept is None else media_for(accept)
    if media is None:
        message = (
            "The Accept header names neither application/json nor application/xml. Responses have "
            "one of these types; name one, or leave the header out."
        )
        raise Refused(406, message)
    return Choice(
        head=head,
        media=media,
        problem=Media.JSON if accept is None else media_of_problem(accept),
        coding=None if accept_encoding is None else coding_for(accept_encoding),
    )


def _preconditions(
    method: bytes, fields: FieldLines, media: Media
) -> tuple[tuple[tuple[bytes, bytes], ...], FieldLines]:
    """Return the known tags of the client, and the fields without marks in preconditions."""
    if_match = value_of(fields, b"if-match")
    if if_match is not None:
        fields = _with(fields, b"if-match", if_match, without_marks(if_match))
    if_none_match = value_of(fields, b"if-none-match")
    if if_none_match is None:
        return (), fields
    unmarked = without_marks(if_none_match)
    json = media is Media.JSON and unmarked == if_none_match
    if json or method not in READS or if_none_match.strip() == b"*":
        return (), _with(fields, b"if-none-match", if_none_match, unmarked)
    known = tuple(of_media(if_none_match, xml=media is Media.XML))
    if not known:
        return (), without(fields, b"if-none-match")
    tags = b", ".join(dict.fromkeys(tag for tag, _ in known))
    return known, replaced(fields, [(b"if-none-match", tags)])


def _with(fields: FieldLines, name: bytes, old: bytes, new: bytes) -> FieldLines:
    """Return the fields with another value of one; its lines stay as they are if it is the same."""
    return fields if new == old else replaced(fields, [(name, new)])


def needs_whole(choice: Choice, status: int, fields: FieldLines) -> bool:
    """Return whether a response must be whole before it is represented; otherwise it may stream."""
    if status == _NOT_MODIFIED:
        return bool(choice.known)
    if status in _UNCHANGED:
        return False
    kind = _media_type(fields)
    if _is_json(kind) and _media(choice, kind) is Media.XML:
        return True
    return choice.coding is not None and _compresses(choice, kind, fields, _length(fields))


def represented(choice: Choice, answer: UpstreamAnswer) -> UpstreamAnswer:
    """Return a whole response in the form that the client prefers.

    Raises:
        Refused: 502 if the client prefers XML, and the JSON of the service can't be read.
    """
    if answer.status == _NOT_MODIFIED:
        return _not_modified(choice, answer)
    if answer.status in _UNCHANGED or value_of(answer.fields, b"content-encoding") is not None:
        return answer
    kind = _media_type(answer.fields)
    xml = _is_json(kind) and _media(choice, kind) is Media.XML
    if xml:
        answer = _as_xml(choice, answer, kind)
        kind = _XML
    size = len(answer.body) if answer.body or not choice.head else _length(answer.fields)
    coding = choice.coding
    if coding is not None and not _compresses(choice, kind, answer.fields, size):
        coding = None
    marks = marks_of(xml=xml, coding=coding)
    if coding is not None:
        answer = _compressed(choice, answer, coding, marks)
    return _tagged(answer, marks)


def _not_modified(choice: Choice, answer: UpstreamAnswer) -> UpstreamAnswer:
    """Return a 304 with the tag that the client sent."""
    tag = value_of(answer.fields, b"etag")
    if tag is None:
        return answer
    opaque = tag.removeprefix(b"W/")
    marks = next((marks for known, marks in choice.known if known == opaque), b"")
    return _tagged(answer, marks)


def _media(choice: Choice, kind: bytes) -> Media:
    return choice.problem if kind == _PROBLEM else choice.media


def _media_type(fields: FieldLines) -> bytes:
    value = value_of(fields, b"content-type") or b""
    return value.partition(b";")[0].strip().lower()


def _is_json(kind: bytes) -> bool:
    return kind == _JSON or kind.endswith(b"+json")


def _length(fields: FieldLines) -> int | None:
    value = value_of(fields, b"content-length")
    return int(value) if value is not None and value.isdigit() else None


def _compresses(choice: Choice, kind: bytes, fields: FieldLines, size: int | None) -> bool:
    """Return whether a body of this type and size is compressed.

    A response that is not to be stored may hold a secret, whose bytes its compressed length could
    reveal (the BREACH attack).
    """
    if size is None:
        if choice.head:
            return False
    elif not MIN_COMPRESSED_BYTES <= size <= MAX_COMPRESSED_BYTES:
        return False
    text = kind.startswith(b"text/") and kind != _EVENTS
    if not (text or kind in _COMPRESSIBLE or kind.endswith((b"+json", b"+xml"))):
        return False
    if any(name in {b"content-encoding", b"set-cookie"} for name, _ in fields):
        return False
    control = (value_of(fields, b"cache-control") or b"").lower()
    return b"no-transform" not in control and b"no-store" not in control


def _as_xml(choice: Choice, answer: UpstreamAnswer, kind: bytes) -> UpstreamAnswer:
    is_problem = kind == _PROBLEM
    changes = [(b"content-type", _PROBLEM_XML if is_problem else _XML)]
    try:
        return _made(choice, answer, changes, XML_MARK, problem_xml_of if is_problem else xml_of)
    except NotJson as error:
        message = "The service returned JSON that is not valid, so it can't be represented as XML."
        raise Refused(502, message) from error


def _compressed(
    choice: Choice, answer: UpstreamAnswer, coding: Coding, marks: bytes
) -> UpstreamAnswer:
    changes = [(b"content-encoding", coding.encode())]
    return _made(choice, answer, changes, marks, lambda body: compressed(body, coding))


def _made(
    choice: Choice,
    answer: UpstreamAnswer,
    changes: FieldLines,
    marks: bytes,
    make: Callable[[bytes], bytes],
) -> UpstreamAnswer:
    """Return the response with its body in another form, which is made unless it is kept."""
    fields = replaced(without(answer.fields, b"content-length"), changes)
    if choice.head:
        return UpstreamAnswer(status=answer.status, fields=fields)
    forms = answer.forms
    body = None if forms is None else forms.form(marks)
    if body is None:
        body = make(answer.body)
        if forms is not None:
            forms.keep_form(marks, body)
    fields.append((b"content-length", b"%d" % len(body)))
    return UpstreamAnswer(status=answer.status, fields=fields, body=body, forms=forms)


def _tagged(answer: UpstreamAnswer, marks: bytes) -> UpstreamAnswer:
    tag = value_of(answer.fields, b"etag")
    if tag is None or not marks:
        return answer
    fields = replaced(answer.fields, [(b"etag", marked(tag, marks))])
    return UpstreamAnswer(status=answer.status, fields=fields, body=answer.body)
