"""What strangers are told of the events: one AsyncAPI document, and a page that says the same."""

from chassis.messaging.asyncapi.document import Facts, asyncapi_document
from chassis.messaging.asyncapi.page import page_of

__all__ = ["Facts", "asyncapi_document", "page_of"]
