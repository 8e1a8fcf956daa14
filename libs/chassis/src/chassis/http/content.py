"""The bodies that routes accept: by content type, and JSON without Python's extensions."""

import json
from typing import Any, override

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from chassis.http.problems import problem_of_status
from chassis.wire_names import FORM, JSON, MERGE_PATCH

JSON_TYPES = (JSON, MERGE_PATCH)
FORM_TYPES = (FORM,)


def _refuse(constant: str) -> None:
    message = f"{constant} is not valid JSON"
    raise ValueError(message)


_DECODER = json.JSONDecoder(parse_constant=_refuse)


class IndexedHeaders(Headers):
    """The fields of a request, with an index of names: the framework's searches them each time."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        super().__init__(raw=raw)
        self._first = dict(reversed(raw))  # of several lines the first one counts

    @override
    def __getitem__(self, key: str) -> str:
        try:
            return self._first[key.lower().encode("latin-1")].decode("latin-1")
        except KeyError:
            raise KeyError(key) from None


class JsonRequest(Request):
    """Reads JSON without Python's extensions.

    It rejects ``NaN`` and ``Infinity`` (RFC 8259 §6), and encodings other than UTF-8 (§8.1): given
    bytes, ``json.loads`` also detects UTF-16 and UTF-32. It ignores a byte order mark, as §8.1
    allows. Of duplicate names the last one counts, as in JavaScript (§4 does not define it).
    """

    _fields: IndexedHeaders | None = None

    @property
    @override
    def headers(self) -> Headers:
        """The fields of the request."""
        if self._fields is None:
            self._fields = IndexedHeaders(list(self.scope["headers"]))
        return self._fields

    async def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        """Return the parsed body, or raise ValueError."""
        # A surrogate is accepted here, so that validation can name the field that holds it.
        text = (await self.body()).decode("utf-8-sig", "surrogatepass")
        return _DECODER.decode(text)


async def refused_content_type(
    request: Request, accepted: tuple[str, ...], *, optional: bool = False
) -> Response | None:
    """Return the response to a body of another content type (RFC 9110 §15.5.16), or None.

    Args:
        request: the request.
        accepted: the media types that the route accepts.
        optional: whether the route accepts a request without a body, which needs no type.
    """
    content_type = request.headers.get("content-type", "")
    if optional and not content_type and not await request.body():
        return None
    if content_type.split(";")[0].strip().lower() in accepted:
        return None
    given = content_type or "none"
    detail = f"The Content-Type {given} is not accepted. Send the body as {accepted[0]}."
    return problem_of_status(request, 415, detail, {"Accept": accepted[0]})
