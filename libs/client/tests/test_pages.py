"""All pages of a list are read one after another, when they are needed."""

import httpx

from client import Page, SlipwayClient, User, items_of

from .feeds import USER


def users(request: httpx.Request) -> httpx.Response:
    number = int(request.url.params.get("cursor", "0"))
    items = [USER | {"version": number * 2 + place} for place in range(2)]
    following = str(number + 1) if number < 2 else None
    return httpx.Response(200, json={"items": items, "next_cursor": following})


async def test_the_items_of_all_pages_come_once_with_the_arguments_of_the_list() -> None:
    asked: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        return users(request)

    async with SlipwayClient("http://gateway", transport=httpx.MockTransport(answer)) as api:
        found = [user.version async for user in items_of(api.list_users, "t", q="a", limit=2)]
    assert found == [0, 1, 2, 3, 4, 5]
    shared = {"q": "a", "limit": "2"}
    assert asked == [shared, shared | {"cursor": "1"}, shared | {"cursor": "2"}]


async def test_a_page_that_is_not_needed_is_not_read() -> None:
    asked = 0

    async def list_page(*, cursor: str | None = None) -> Page[User]:
        nonlocal asked
        asked += 1
        assert cursor is None
        return Page[User].model_validate({"items": [USER], "next_cursor": "more"})

    items = items_of(list_page)
    assert (await anext(items)).email == USER["email"]
    await items.aclose()  # type: ignore[attr-defined]  # it is an async generator
    assert asked == 1
