"""Lists by keyset: a cursor names the last item, so pages stay right while rows come and go."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Annotated, Self
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request, Response
from pydantic import Field

from chassis.errors import FieldError, Invalid
from chassis.http.context import path_of
from chassis.http.shapes import Moment, QueryShape, Shape

MAX_LIMIT = 100
DEFAULT_LIMIT = 20


class Page[T](Shape):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null: end.")


class KeysetCursor(Shape):
    """The place of the last item of a page; a subclass names the columns of its order."""

    def encode(self) -> str:
        """Write the cursor as an opaque text."""
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read a cursor; Invalid names the parameter."""
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            cursor = cls.model_validate(json.loads(raw))
        except (ValueError, binascii.Error) as error:
            field = FieldError(detail="is no cursor of this list", parameter="cursor")
            message = "the cursor is not one that a page gave: start again without it"
            raise Invalid(message, errors=[field]) from error
        return cursor


class Cursor(KeysetCursor):
    """The place of an item in the order (time, id)."""

    at: Moment
    id: Annotated[UUID, Field(strict=False)]


class PageQuery(QueryShape):
    """The parameters that every list takes."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Items on a page.")] = DEFAULT_LIMIT
    cursor: Annotated[
        str | None, Field(max_length=500, description="`next_cursor` of the page before.")
    ] = None

    def after(self) -> Cursor | None:
        """Read the cursor; Invalid where it is none of ours."""
        return None if self.cursor is None else Cursor.decode(self.cursor)


def page_of[T](
    items: Sequence[T], *, next_cursor: KeysetCursor | None, request: Request, response: Response
) -> Page[T]:
    """Make the page, and point to the next with a Link header (RFC 8288)."""
    text = None if next_cursor is None else next_cursor.encode()
    if text is not None:
        kept = [pair for pair in request.query_params.multi_items() if pair[0] != "cursor"]
        query = urlencode([*kept, ("cursor", text)])
        response.headers["Link"] = f'<{path_of(request.scope)}?{query}>; rel="next"'
    return Page[T](items=list(items), next_cursor=text)
