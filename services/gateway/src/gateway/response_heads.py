"""The fields of a service's response that the gateway passes back."""

import re
from collections.abc import Sequence
from itertools import chain

from chassis.wire_names import REQUEST_ID, raw_name
from gateway.errors import Refused
from gateway.exchange import FieldLines
from gateway.headers import HOP_BY_HOP

_FIRST_FINAL_STATUS = 200
_LAST_STATUS = 599
_BODILESS = frozenset({204, 304})
_OF_BODY = frozenset({b"content-length", b"content-type"})
_METHOD_NOT_ALLOWED = 405
_DOUBT = (
    " The request may have taken effect. Check that before you send it again, or send it with the "
    "same Idempotency-Key."
)
_UNFIT = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_PASSED_BACK = frozenset({*HOP_BY_HOP, b"date", b"server", raw_name(REQUEST_ID), b"alt-svc"})


def response_fields(status: int, raw: Sequence[tuple[bytes, bytes]]) -> FieldLines:
    """Return the fields of a service's response to pass back.

    Args:
        status: the status.
        raw: the service's fields, with names in lower case.

    Raises:
        Refused: 502 if the status or a field of the response is not valid.
    """
    if not _FIRST_FINAL_STATUS <= status <= _LAST_STATUS:
        raise Refused(502, f"The service returned the status {status}, which is not valid.{_DOUBT}")
    if _UNFIT.search(b" ".join([value for _, value in raw])):
        raise Refused(502, f"The service returned a header that is not valid.{_DOUBT}")
    fields = [item for item in raw if item[0] not in _NOT_PASSED_BACK]
    if b"connection" in dict(raw):
        fields = _without_named(fields, raw)
    if status in _BODILESS:
        # These responses have no body. A client would wait for one if they declared a length, and a
        # type describes nothing (RFC 9110 §15.4.5).
        fields = [item for item in fields if item[0] not in _OF_BODY]
    if status == _METHOD_NOT_ALLOWED:
        return [_with_options(item) for item in fields]
    return fields


def _without_named(fields: FieldLines, raw: Sequence[tuple[bytes, bytes]]) -> FieldLines:
    """Remove the fields that `Connection` names (RFC 9110 §7.6.1)."""
    values = [value.split(b",") for name, value in raw if name == b"connection"]
    named = {part.strip().lower() for part in chain.from_iterable(values)}
    named.discard(b"content-length")  # it delimits the body, so it must stay
    return [item for item in fields if item[0] not in named]


def _with_options(item: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Add OPTIONS to a service's `Allow`: the gateway responds to it for every path."""
    name, value = item
    if name != b"allow" or b"OPTIONS" in value:
        return item
    return name, (value + b", OPTIONS" if value else b"OPTIONS")
