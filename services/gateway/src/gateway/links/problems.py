"""The gateway's own problem documents, in the form that a client accepts."""

from chassis.wire_names import PROBLEM
from gateway.exchange import FieldLines
from gateway.links.fields import replaced, value_of, without
from gateway.links.media import Media, media_of_problem
from gateway.links.xml import problem_xml_of

_XML = (b"content-type", b"application/problem+xml")
_PROBLEM = PROBLEM.encode()


def as_accepted(request: FieldLines, fields: FieldLines, body: bytes) -> tuple[FieldLines, bytes]:
    """Return the fields and the body of a response of the gateway itself.

    Args:
        request: the fields of the request.
        fields: the response's fields.
        body: its body.
    """
    accept = value_of(request, b"accept")
    if accept is None or value_of(fields, b"content-type") != _PROBLEM:
        return fields, body
    if media_of_problem(accept) is not Media.XML:
        return fields, body
    xml = problem_xml_of(body)
    changes = [_XML, (b"content-length", b"%d" % len(xml))]
    return replaced(without(fields, b"content-length"), changes), xml
