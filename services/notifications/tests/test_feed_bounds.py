"""How many sockets may be open, what closes an open socket, and with which code."""

from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest

from chassis import errors
from chassis.auth import Principal, TokenVerifier
from chassis.database import new_id
from notifications.feed.errors import MessageTooLarge, ProcessFull, TooManySockets, TooSlow
from notifications.feed.repository import Item
from notifications.feed.routes import close_code
from notifications.feed.service import Connection, Connections
from notifications.kinds.wiring import SCOPE
from testkit.tokens import AUDIENCE, ISSUER

REMEMBERED = 10  # the verifier's cache; there are many times as many sockets


class KeyIds:
    """Public keys with ids only: they can't verify any signature."""

    def __init__(self, *ids: str) -> None:
        self.ids = set(ids)

    def find(self, kid: str) -> object | None:
        return object() if kid in self.ids else None


@pytest.fixture
def keys() -> KeyIds:
    return KeyIds("the-key", "another-key")


@pytest.fixture
def revoked() -> set[Any]:
    return set()


@pytest.fixture
def verifier(keys: Any, revoked: set[Any]) -> TokenVerifier:
    return TokenVerifier(
        keys=keys, issuer=ISSUER, audience=AUDIENCE, revoked=revoked, remembered=REMEMBERED
    )


@pytest.fixture
def joined(connections: Connections) -> Iterator[Any]:
    """Join a socket, which stays until the end of the test."""
    with ExitStack() as stack:

        def join(principal: Principal) -> Connection:
            connection = Connection(principal=principal)
            stack.enter_context(connections.joined(connection))
            return connection

        yield join


ITEM = Item(event_id=1, type="notification", data="{}", traceparent=None)


async def goes_on(connections: Connections, connection: Connection) -> bool:
    """Return whether a socket still gets items; raise the error that it is closed with."""
    connection.offer([ITEM])
    return await connections.next_items(connection) == [ITEM]


class TestSweep:
    """The check of all sockets, each second: it compares, and verifies no signature."""

    async def test_more_sockets_than_the_cache_remembers_are_swept_without_a_signature(
        self, connections, joined, principal, verifier
    ):
        good = [joined(principal()) for _ in range(REMEMBERED * 50)]
        expired = joined(principal(expires_at=1))
        for _ in range(3):
            connections.end_expired(verifier)
        with pytest.raises(errors.Unauthenticated, match="expired"):
            await connections.next_items(expired)
        assert all([await goes_on(connections, one) for one in good])

    async def test_the_socket_of_an_ended_session_is_closed_and_no_other(
        self, connections, joined, principal, verifier, revoked
    ):
        ended, stays = joined(principal()), joined(principal())
        revoked.add(ended.principal.session_id)
        connections.end_expired(verifier)
        with pytest.raises(errors.Unauthenticated, match="session"):
            await connections.next_items(ended)
        assert await goes_on(connections, stays)

    async def test_the_sockets_of_a_withdrawn_key_are_closed_and_no_others(
        self, connections, joined, principal, verifier, keys
    ):
        ended, stays = joined(principal()), joined(principal(key_id="another-key"))
        connections.end_expired(verifier)
        assert await goes_on(connections, ended)
        keys.ids.remove("the-key")
        connections.end_expired(verifier)
        with pytest.raises(errors.Unauthenticated, match="withdrawn"):
            await connections.next_items(ended)
        assert await goes_on(connections, stays)


class TestBounds:
    async def test_the_sockets_of_a_user_are_limited_and_other_users_have_theirs(
        self, serve, tokens, eventually
    ):
        user, other = new_id(), new_id()
        async with serve(feed_sockets_per_user=2) as server, AsyncExitStack() as stack:
            first = await opened(stack, server, tokens, user)
            await opened(stack, server, tokens, user)
            async with server.open() as third:
                answer = await authenticate(third, tokens, user)
                assert answer["type"] == "error"
                assert "2 sockets" in answer["detail"]
                assert await third.closed() == 4429
            await opened(stack, server, tokens, other)
            await first.connection.close()
            await eventually(lambda: metric(server, "feed_sockets") == 2)
            await opened(stack, server, tokens, user)
            assert metric(server, "feed_sockets_refused_total", bound="user") == 1

    async def test_the_sockets_of_the_process_are_limited(self, serve, tokens, eventually):
        async with serve(feed_sockets=2) as server, AsyncExitStack() as stack:
            await opened(stack, server, tokens, new_id())
            last = await opened(stack, server, tokens, new_id())
            async with server.open() as third:
                answer = await authenticate(third, tokens, new_id())
                assert "2 sockets" in answer["detail"]
                assert await third.closed() == 1013
            assert metric(server, "feed_sockets_refused_total", bound="process") == 1
            assert metric(server, "feed_sockets") == 2
            await last.connection.close()
            await eventually(lambda: metric(server, "feed_sockets") == 1)
            await opened(stack, server, tokens, new_id())

    async def test_a_socket_that_did_not_authenticate_takes_no_place(self, serve, tokens):
        async with serve(feed_sockets=1) as server, server.open(), AsyncExitStack() as stack:
            await opened(stack, server, tokens, new_id())


async def authenticate(socket, tokens, user):
    await socket.send(type="auth", token=tokens.token(subject=user, scopes=[SCOPE]))
    return await socket.next()


async def opened(stack, server, tokens, user):
    socket = await stack.enter_async_context(server.open())
    assert (await authenticate(socket, tokens, user))["type"] == "ready"
    return socket


def metric(server, name, **labels):
    return server.process.registry.get_sample_value(name, labels)


class OfTomorrow(errors.Conflict):
    """A kind of error that no table lists."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MessageTooLarge, 1009),
        (errors.Malformed, 4400),
        (errors.Unauthenticated, 4401),
        (errors.Forbidden, 4403),
        (errors.NotFound, 4404),
        (errors.Conflict, 4409),
        (OfTomorrow, 4409),
        (errors.PreconditionFailed, 4412),
        (errors.Invalid, 4422),
        (errors.TooManyRequests, 4429),
        (TooManySockets, 4429),
        (errors.Unavailable, 1013),
        (ProcessFull, 1013),
        (TooSlow, 1013),
        (errors.DomainError, 1011),
    ],
)
def test_every_kind_of_error_has_a_close_code(error, code):
    assert close_code(error) == code
