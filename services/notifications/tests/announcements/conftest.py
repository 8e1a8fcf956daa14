"""Fixtures of the tests of announcements: users who have joined, and somebody who announces."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from chassis.database import new_id
from contracts.examples import example
from contracts.users import UserRegistered
from notifications.announcements.wiring import SCOPE
from notifications.notifications.wiring import intake as intake_of
from testkit.tokens import TestTokens

ANNOUNCEMENTS = "/api/v1/announcements"
LIST = "/api/v1/notifications"

type Joined = Callable[..., Awaitable[UUID]]
type Publish = Callable[..., Awaitable[dict[str, Any]]]
type Listed = Callable[[UUID], Awaitable[list[dict[str, Any]]]]


@pytest.fixture
def joined(consume) -> Joined:
    """Register a user, as the users service announces it."""

    async def join(user: UUID | None = None) -> UUID:
        user = user or new_id()
        assert await consume(example(UserRegistered, user_id=user), partition=1) == (1, None)
        return user

    return join


@pytest.fixture
def author(tokens: TestTokens) -> dict[str, str]:
    """The Authorization header of somebody who may publish announcements."""
    return tokens.headers(scopes=[SCOPE])


@pytest.fixture
def publish(client, author) -> Publish:
    """Publish an announcement, and return it."""

    async def send(title: str = "Maintenance", **given: Any) -> dict[str, Any]:
        body = {"title": title, "body": "Tonight.", **given}
        answer = await client.post(ANNOUNCEMENTS, json=body, headers=author)
        assert answer.status_code == 201, answer.text
        published: dict[str, Any] = answer.json()
        return published

    return send


@pytest.fixture
def listed(client, headers) -> Listed:
    """Return a user's notifications, newest first."""

    async def page(user: UUID) -> list[dict[str, Any]]:
        answer = await client.get(LIST, headers=headers(user), params={"limit": 100})
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    return page


@pytest.fixture
def take_in(resources) -> Callable[..., Awaitable[None]]:
    """Take in what users have missed, in a transaction of its own."""

    async def taken_in(*users: UUID) -> None:
        async with resources.database.transaction() as unit:
            await intake_of(resources, unit).take_in(users)

    return taken_in


@pytest.fixture
def fill(owner) -> Callable[[int], Awaitable[None]]:
    """Store so many announcements, whose titles are numbers."""

    async def store(count: int) -> None:
        await owner.execute(
            "INSERT INTO announcements (id, title, body, data, author_id)"
            " SELECT gen_random_uuid(), n::text, 'b', '{}', gen_random_uuid()"
            " FROM generate_series(1, $1::int) AS n",
            count,
        )

    return store
