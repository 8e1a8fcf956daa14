"""The description of the events for other teams: an AsyncAPI document, and a page for people."""

from chassis.messaging.asyncapi.document import Facts, asyncapi_document
from chassis.messaging.asyncapi.page import page_of
from chassis.messaging.asyncapi.sockets import Socket, SocketMessage

__all__ = ["Facts", "Socket", "SocketMessage", "asyncapi_document", "page_of"]
