"""Real local servers from wheels, for development and tests: no Docker, no package manager.

Each server is imported when it is first asked for: a production image has none of their wheels, and
what is here beside them works without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chassis.servers.base import LocalServer, ServerError, kill_leftover

if TYPE_CHECKING:
    from chassis.servers.kafka import KafkaServer
    from chassis.servers.mail import MailSink
    from chassis.servers.postgres import PostgresServer
    from chassis.servers.valkey import ValkeyServer

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
    """Import the module of a server (PEP 562)."""
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
