"""What AsyncAPI says of the socket is what it does: shapes, examples, close codes."""

import json

import pytest

from chassis import errors
from chassis.auth import InsufficientScope
from chassis.database import new_id
from notifications.feed.errors import ProcessFull, ServerStopping, TooManySockets, TooSlow
from notifications.sockets.errors import (
    AuthenticationMissing,
    MalformedMessage,
    MessageTooLarge,
    TooManyMessages,
)
from notifications.sockets.routes import code_of
from notifications.sockets.schemas import COMMANDS, LIVE_FEED

MESSAGES = list(LIVE_FEED.messages)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: one.name)
def test_each_example_fits_its_shape(message):
    message.shape.model_validate_json(json.dumps(message.example))


def test_each_command_is_described():
    described = {one.shape for one in LIVE_FEED.received}
    assert set(COMMANDS.values()) <= described


@pytest.mark.parametrize(
    "error",
    [
        errors.Unauthenticated,
        errors.Unavailable,
        errors.DomainError,
        InsufficientScope,
        AuthenticationMissing,
        MalformedMessage,
        MessageTooLarge,
        TooManyMessages,
        ProcessFull,
        ServerStopping,
        TooManySockets,
        TooSlow,
    ],
)
def test_each_code_that_closes_a_socket_is_described(error):
    assert code_of(error) in LIVE_FEED.close_codes


async def test_what_the_socket_sends_fits_the_shapes(server, tokens, consume, placed):
    user = new_id()
    shapes = {one.name: one.shape for one in LIVE_FEED.sent}

    async def fits(socket, name):
        message = await socket.next()
        shapes[name].model_validate_json(json.dumps(message))

    async with server.open() as socket:
        token = tokens.token(subject=user, scopes=["notifications:read"])
        await socket.send(type="auth", token=token, last_event_id=99)
        await fits(socket, "ready")
        await fits(socket, "reset")
        await consume(placed(user))
        await fits(socket, "item")
        await socket.send(type="ping", id="1")
        await fits(socket, "result")
        await socket.send(type="unknown", id="2")
        await fits(socket, "error")
        server.stop()
        message = await socket.next()
        assert message["reconnect_ms"] > 0
        shapes["error"].model_validate_json(json.dumps(message))
        assert await socket.closed() == 1012
