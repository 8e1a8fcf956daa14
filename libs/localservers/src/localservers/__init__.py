"""Real local servers from wheels, for development and tests: no Docker, no package manager.

A server's module is imported at its first use, so starting one server doesn't import the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from localservers.base import LocalServer, ServerError, kill_leftover

if TYPE_CHECKING:
    from localservers.kafka import KafkaServer
    from localservers.mail import MailSink
    from localservers.postgres import PostgresServer
    from localservers.valkey import ValkeyServer

__all__ = [
    "KafkaServer",
    "LocalServer",
    "MailSink",
    "PostgresServer",
    "ServerError",
    "ValkeyServer",
    "kill_leftover",
]

_MODULES = {
    "KafkaServer": "kafka",
    "MailSink": "mail",
    "PostgresServer": "postgres",
    "ValkeyServer": "valkey",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - one of four classes, as declared above
    """Return a server class; import its module at the first use (PEP 562)."""
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
