"""Pages of lists over HTTP: the parameters, the opaque cursor, and the link to the next page."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from typing import Annotated, Any, override
from urllib.parse import urlencode

from fastapi import Depends, Request, Response
from pydantic import Field

from chassis.errors import FieldError, Invalid
from chassis.http.context import path_of
from chassis.http.shapes import QueryShape, Shape
from chassis.paging import PageRequest, PageRows, Position

MAX_LIMIT = 100
DEFAULT_LIMIT = 20
# Every implementation should support URIs of this length (RFC 9110 §4.1); proxies reject longer
# fields.
_MAX_LINK = 8000
_MARK_BYTES = 6  # base64 makes eight characters of them, without padding
_MARK_CHARACTERS = 8
_OF_ONE_PAGE = {"cursor", "total"}  # parameters that the link to the next page does not repeat


class Page[T](Shape):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = Field(
        description="Pass it as `cursor` to get the next page; null: this is the last page."
    )


class CountedPage[T](Page[T]):
    """One page of a list whose length can be asked for."""

    total: int | None = Field(
        description="The number of items on all pages; null unless asked for by `total=true`."
    )


def cursor_of(position: Position, *, path: str) -> str:
    """Return a position as an opaque text, with a mark of its list.

    Args:
        position: of the last item of the page.
        path: of the list.
    """
    return _mark_of(path) + _encoded(position.model_dump_json().encode())


def position_in[P: Position](cursor: str, position: type[P]) -> P:
    """Return the position in a cursor, or raise Invalid with the parameter's name.

    ``Pages`` has compared the mark of the list already.
    """
    try:
        text = cursor[_MARK_CHARACTERS:]
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return position.model_validate_json(raw)
    except ValueError as error:
        raise _foreign_cursor() from error


def _mark_of(path: str) -> str:
    """Return a mark of a list.

    Lists of one order have positions of one type, so a cursor of another list would be read as one
    of this list, and lead to an empty or arbitrary page. The mark is no secret.
    """
    return _encoded(blake2b(path.encode(), digest_size=_MARK_BYTES).digest())


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _foreign_cursor() -> Invalid:
    field = FieldError(detail="is not a cursor of this list", parameter="cursor")
    message = (
        "The cursor is not one that a page of this list returned. Start again without a cursor."
    )
    return Invalid(message, errors=[field])


class PageQuery(QueryShape):
    """The parameters that every list takes."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Items on a page.")] = DEFAULT_LIMIT
    cursor: Annotated[
        str | None, Field(max_length=500, description="`next_cursor` of the page before.")
    ] = None

    def page[P: Position](self, position: type[P]) -> PageRequest[P]:
        """Return the page that is asked for, or raise Invalid if no page returned the cursor."""
        after = None if self.cursor is None else position_in(self.cursor, position)
        return PageRequest(limit=self.limit, after=after)


class CountedPageQuery(PageQuery):
    """The parameters of a list whose length can be asked for."""

    total: Annotated[
        bool,
        Field(
            description="Count the items on all pages. It costs more the longer the list is: ask "
            "once, not with each page."
        ),
    ] = False

    @override
    def page[P: Position](self, position: type[P]) -> PageRequest[P]:
        return replace(super().page(position), counted=self.total)


class PageWriter:
    """Writes one page as the response of one request.

    Args:
        request: its path becomes that of the link to the next page.
        response: the response whose Link header is set.
    """

    def __init__(self, *, request: Request, response: Response) -> None:
        self._request = request
        self._response = response

    def write[R, T](
        self, found: PageRows[R, Any], shape: Callable[[R], T], *, query: PageQuery
    ) -> Page[T]:
        """Return the page, and set the Link header (RFC 8288) to the next one.

        The link is made from the parsed parameters, not from the query as it was sent: that may
        repeat parameters until the field is too long for clients. A link over 8,000 bytes is left
        out; the page's ``next_cursor`` has the same information.

        Args:
            found: the rows of the page.
            shape: makes the item of a row.
            query: the parameters of the request.
        """
        cursor = self._link(found, query)
        return Page[T](items=[shape(row) for row in found.items], next_cursor=cursor)

    def write_counted[R, T](
        self, found: PageRows[R, Any], shape: Callable[[R], T], *, query: CountedPageQuery
    ) -> CountedPage[T]:
        """Return the page with the total if it was asked for; see ``write``.

        The link to the next page does not ask for the total again.
        """
        cursor = self._link(found, query)
        items = [shape(row) for row in found.items]
        return CountedPage[T](items=items, next_cursor=cursor, total=found.total)

    def _link(self, found: PageRows[Any, Any], query: PageQuery) -> str | None:
        """Set the link to the next page, and return the cursor; None if this is the last page."""
        path = path_of(self._request.scope)
        cursor = None if found.end is None else cursor_of(found.end, path=path)
        if cursor is not None:
            target = f"{path}?{urlencode(_parameters(query, cursor), doseq=True)}"
            if len(target) <= _MAX_LINK:
                self._response.headers["Link"] = f'<{target}>; rel="next"'
        return cursor


async def _page_writer(request: Request, response: Response) -> PageWriter:
    given = request.query_params.get("cursor") if request.scope["query_string"] else None
    if given is not None and not given.startswith(_mark_of(path_of(request.scope))):
        raise _foreign_cursor()
    return PageWriter(request=request, response=response)


Pages = Annotated[PageWriter, Depends(_page_writer)]
"""Writes the page of a route that returns a list. Raises Invalid for a cursor of another list."""


def _parameters(query: PageQuery, cursor: str) -> dict[str, Any]:
    """Return the parameters of the next page: those of the request, each once, and the cursor."""
    given = query.model_dump(
        mode="json", exclude=_OF_ONE_PAGE, exclude_unset=True, exclude_none=True
    )
    texts = {
        name: value if isinstance(value, (str, list)) else json.dumps(value)
        for name, value in given.items()
    }
    return texts | {"cursor": cursor}
