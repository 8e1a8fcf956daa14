"""Keyset pagination: a page begins after the last item of the page before.

Pages stay correct while rows are added and deleted, and a late page costs no more than the first.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import BigInteger, Select, Subquery, column, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import QueryableAttribute
from sqlalchemy.sql.elements import KeyedColumnElement

from chassis.integers import MAX_INTEGER
from chassis.times import Moment

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

type OrderColumn = QueryableAttribute[Any] | KeyedColumnElement[Any]
"""A column of the order: of a mapped class, a table, or a subquery."""

# Without the type, a number within 32 bits is sent as an integer.
_BIGINT = BigInteger()

BigSerial = Annotated[int, Field(ge=1, le=MAX_INTEGER)]
"""A number from 1 that fits PostgreSQL's bigint; a larger one would fail in SQL."""


class Position(BaseModel):
    """The position of an item in a list; a subclass has a field for each column of the order.

    Positions come back from outside as cursors, so they are validated like a request's body.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class TimePosition(Position):
    """The position in a list that is sorted by time; the id orders items of the same time."""

    at: Moment
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest[P: Position]:
    """The page that a caller asks for.

    Attributes:
        limit: the size of the page, at least 1.
        after: the position of the last item of the page before; None for the first page.
        counted: whether the caller also asks for the number of items on all pages.
    """

    limit: int
    after: P | None = None
    counted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRows[T, P: Position]:
    """The items of one page.

    Attributes:
        items: in the order of the list.
        end: the position of the last item; None if there is no further page.
        total: the number of items on all pages; None if it was not asked for.
    """

    items: Sequence[T]
    end: P | None
    total: int | None = None


async def each_page[T, P: Position](
    read: Callable[[PageRequest[P]], Awaitable[PageRows[T, P]]], *, limit: int = 100
) -> AsyncIterator[Sequence[T]]:
    """Yield the items of each page of a list, from the first page to the last.

    Args:
        read: returns one page.
        limit: the size of a page.
    """
    wanted: PageRequest[P] = PageRequest(limit=limit)
    while True:
        page = await read(wanted)
        yield page.items
        if page.end is None:
            return
        wanted = replace(wanted, after=page.end)


def subquery_of(sql: str, row: "type[DataclassInstance]") -> Subquery:
    """Return a SELECT in SQL as a subquery, so that a ``ListOrder`` can sort and bound it.

    PostgreSQL merges such a subquery into the query around it.

    Args:
        sql: the SELECT, without ORDER BY and LIMIT.
        row: a dataclass with the names and types of the selected columns.
    """
    listed = [column(each.name, _BIGINT if each.type is int else None) for each in fields(row)]
    return text(sql).columns(*listed).subquery("listed")


def locked_rows[T: Select[*tuple[Any, ...]]](
    statement: T, identity: QueryableAttribute[UUID], *, after: UUID | None, limit: int
) -> T:
    """Return `statement` for the next rows in the order of their ids, locked until the commit.

    All transactions that lock several rows of a table do so in this order, so none waits for
    another in a circle. Rows that refer to a locked one can still be written.

    Args:
        statement: selects rows of one mapped class.
        identity: the primary key of that class.
        after: the id of the last row of the page before; None for the first page.
        limit: the largest number of rows.
    """
    if after is not None:
        statement = statement.where(identity > after)
    return (
        statement.order_by(identity)
        .limit(limit)
        .with_for_update(of=identity.class_, key_share=True)
    )


class ListOrder[P: Position]:
    """The order of a list, declared once: row comparison, ORDER BY and positions follow from it.

    Args:
        position: the type of the positions. Its fields stand for `columns`, one for one.
        columns: what the list is sorted by. None may be NULL, since a comparison with NULL would
            leave the row out of all pages but the first. Together they must be unique, or a page
            that ends between two equal rows loses the second. An index in this order serves a page
            without a sort.
        descending: whether the greatest comes first. It holds for all columns, because a row
            comparison (`(a, b) < (x, y)`) has one direction.
    """

    def __init__(self, position: type[P], *columns: OrderColumn, descending: bool = False) -> None:
        fields = tuple(position.model_fields)
        if not columns or len(fields) != len(columns):
            message = (
                f"{position.__name__} has the fields {', '.join(fields) or 'none'}, and the order "
                f"has {len(columns)} columns: declare one field for each column"
            )
            raise TypeError(message)
        self._position = position
        self._columns = dict(zip(fields, columns, strict=True))
        self._descending = descending

    def following[T: Select[*tuple[Any, ...]]](self, statement: T, after: P | None) -> T:
        """Return `statement` sorted, without the rows up to and including the position `after`."""
        columns = self._columns.values()
        sorts = [column.desc() if self._descending else column.asc() for column in columns]
        if after is not None:
            place = tuple(getattr(after, field) for field in self._columns)
            row = tuple_(*columns)
            statement = statement.where(row < place if self._descending else row > place)
        return statement.order_by(*sorts)

    def bounded[T: Select[*tuple[Any, ...]]](self, statement: T, wanted: PageRequest[P]) -> T:
        """Return `statement` for the wanted page and one row more; pass the rows to `cut`."""
        return self.following(statement, wanted.after).limit(wanted.limit + 1)

    def cut[T](self, rows: Sequence[T], wanted: PageRequest[P]) -> PageRows[T, P]:
        """Return the page from the rows of `bounded`: the row more says that a page follows.

        A row has the order's columns as attributes of the columns' names, as ORM objects and rows
        of Core have them.
        """
        if len(rows) <= wanted.limit:
            return PageRows(items=rows, end=None)
        items = rows[: wanted.limit]
        return PageRows(items=items, end=self.position_of(items[-1]))

    def position_of(self, row: object) -> P:
        """Return the position of a row; see ``cut``."""
        return self._position(
            **{field: getattr(row, column.key) for field, column in self._columns.items()}
        )

    async def page[T](
        self, session: AsyncSession, statement: Select[T], wanted: PageRequest[P]
    ) -> PageRows[T, P]:
        """Return a page of the objects that `statement` selects, which has no ORDER BY of its own.

        If the request asks for the total, a second statement counts all that `statement` selects.
        Its cost rises with their number.

        For rows of more than one column use ``bounded`` and ``cut``.
        """
        rows = (await session.scalars(self.bounded(statement, wanted))).all()
        page = self.cut(rows, wanted)
        if not wanted.counted:
            return page
        return replace(page, total=await _count(session, statement))


async def _count(session: AsyncSession, statement: Select[Any]) -> int:
    rows = statement.with_only_columns(literal(1), maintain_column_froms=True).subquery()
    return (await session.execute(select(func.count()).select_from(rows))).scalar_one()
