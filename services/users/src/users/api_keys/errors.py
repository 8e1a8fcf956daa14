"""The errors of API keys."""

from chassis.errors import Conflict, NotFound


class ApiKeyNotFound(NotFound):
    """You have no such API key."""


class TooManyApiKeys(Conflict):
    """The account has as many valid API keys as it may have."""
