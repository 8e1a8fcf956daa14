"""The description of the events for other teams: an AsyncAPI document, and a page for people."""

from chassis.messaging.asyncapi.document import Facts, asyncapi_document
from chassis.messaging.asyncapi.page import page_of

__all__ = ["Facts", "asyncapi_document", "page_of"]
