"""Iteration over all pages of a list."""

from collections.abc import AsyncIterator, Awaitable, Callable

from client.shapes import Page


async def items_of[Item, **Arguments](
    list_page: Callable[Arguments, Awaitable[Page[Item]]],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> AsyncIterator[Item]:
    """Yield the items of all pages of any list.

    ``async for order in items_of(client.list_orders, token, status="placed"): …``

    A page is read when the items before it are used up. Items that are added or removed meanwhile
    make none come twice and leave none out: cursors name a position, not a number.

    Args:
        list_page: the call that returns one page.
        args: its arguments.
        kwargs: likewise; `limit` is the size of a page, `cursor` the place to begin at.
    """
    while True:
        page = await list_page(*args, **kwargs)
        for item in page.items:
            yield item
        if page.next_cursor is None:
            return
        kwargs["cursor"] = page.next_cursor
