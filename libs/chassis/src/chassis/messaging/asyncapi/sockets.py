"""The WebSockets of services in the AsyncAPI document: their messages, and why they are closed."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

type Json = dict[str, Any]

_SERVER = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketMessage:
    """One message on a socket.

    Attributes:
        name: unique on the socket.
        shape: the model of its JSON; its docstring is the description.
        example: an example of its JSON.
    """

    name: str
    shape: type[BaseModel]
    example: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """A WebSocket that a service serves through the gateway.

    Attributes:
        name: the channel's name.
        service: the service's name.
        address: its path.
        about: the description; Markdown.
        received: the messages that the client sends.
        sent: the messages that the service sends.
        close_codes: the codes with which a client finds it closed, each with the reason.
    """

    name: str
    service: str
    address: str
    about: str
    received: Sequence[SocketMessage]
    sent: Sequence[SocketMessage]
    close_codes: Mapping[int, str]

    @property
    def messages(self) -> Iterator[SocketMessage]:
        """The messages in both directions."""
        yield from self.received
        yield from self.sent

    def key(self, message: SocketMessage) -> str:
        """Return the name of a message in the document."""
        return f"{self.name}.{message.name}"


def server() -> tuple[str, Json]:
    """Return the name and the description of the server of all sockets."""
    return _SERVER, {
        "host": "{gatewayHost}",
        "protocol": "wss",
        "variables": {
            "gatewayHost": {
                "default": "127.0.0.1:8000",
                "description": "The host of the API. On a single machine the protocol is `ws`.",
            }
        },
    }


def channel_of(socket: Socket) -> Json:
    """Return the channel of a socket."""
    return {
        "address": socket.address,
        "description": socket.about,
        "servers": [{"$ref": f"#/servers/{_SERVER}"}],
        "messages": {
            socket.key(one): {"$ref": f"#/components/messages/{socket.key(one)}"}
            for one in socket.messages
        },
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
        "x-producer": socket.service,
        "x-readers": None,
        "x-close-codes": {str(code): reason for code, reason in socket.close_codes.items()},
    }


def operations_of(socket: Socket) -> Iterator[tuple[str, Json]]:
    """Yield the two operations of a socket, as the service sees them."""
    for action, messages in (("receive", socket.received), ("send", socket.sent)):
        yield (
            f"{socket.service}.{action}.{socket.name}",
            {
                "action": action,
                "channel": {"$ref": f"#/channels/{socket.name}"},
                "messages": [
                    {"$ref": f"#/channels/{socket.name}/messages/{socket.key(one)}"}
                    for one in messages
                ],
                "tags": [{"name": socket.service}],
            },
        )


def message_of(socket: Socket, message: SocketMessage) -> Json:
    """Return the description of one message."""
    text = inspect.getdoc(message.shape) or ""
    return {
        "name": socket.key(message),
        "title": message.name,
        "summary": text.partition("\n")[0],
        "description": text,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{socket.key(message)}"},
        "examples": [{"payload": message.example}],
    }
