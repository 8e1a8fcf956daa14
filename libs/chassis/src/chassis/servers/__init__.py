"""Real local servers from wheels, for development and tests: no Docker, no package manager."""

from chassis.servers.base import LocalServer, ServerError, kill_leftover
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
