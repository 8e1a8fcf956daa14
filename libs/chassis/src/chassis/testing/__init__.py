"""Support for tests: real servers, a database for each worker process, tokens, HTTP clients."""

from chassis.testing.clients import client_of, serving
from chassis.testing.databases import ServiceDatabase
from chassis.testing.kafka import TestTopics
from chassis.testing.tokens import TestTokens

__all__ = ["ServiceDatabase", "TestTokens", "TestTopics", "client_of", "serving"]
