"""The local servers of one system: which are started, and where they keep their data."""

from localservers import KafkaServer, LocalServer, MailSink, PostgresServer, ValkeyServer
from localservers.base import kill_leftover
from slipway.local.mail import sink_directory
from slipway.settings import SlipwaySettings
from slipway.state import Entry, StateDirectory


class Servers:
    """The servers, made from the settings; an external server is None.

    Args:
        settings: ports.
        state: where the data goes.
        superuser_password: of the local Postgres.
        local_postgres: whether to run a local Postgres.
    """

    def __init__(
        self,
        *,
        settings: SlipwaySettings,
        state: StateDirectory,
        superuser_password: str,
        local_postgres: bool,
    ) -> None:
        self.postgres = (
            PostgresServer(
                directory=state.servers / "postgres",
                port=settings.postgres_port,
                port_setting="POSTGRES_PORT",
                password=superuser_password,
            )
            if local_postgres
            else None
        )
        self.kafka = (
            KafkaServer(
                directory=state.servers / "kafka",
                port=settings.kafka_port,
                port_setting="KAFKA_PORT",
            )
            if settings.kafka_bootstrap_servers is None
            else None
        )
        self.valkey = ValkeyServer(
            directory=state.servers / "valkey",
            port=settings.valkey_port,
            port_setting="VALKEY_PORT",
        )
        self.mail = MailSink(
            directory=sink_directory(state), port=settings.smtp_port, port_setting="SMTP_PORT"
        )

    def all(self) -> tuple[LocalServer, ...]:
        """Return the servers that run here."""
        servers = (self.postgres, self.kafka, self.valkey, self.mail)
        return tuple(server for server in servers if server is not None)

    def end_leftovers(self) -> None:
        """End the servers that a killed supervisor left running: they hold the ports."""
        for server in self.all():
            kill_leftover(server.directory, server.name)

    def entries(self) -> tuple[Entry, ...]:
        """Return the entries for the record of what runs."""
        return tuple(
            Entry(name=server.name, pid=server.pid, address=f"127.0.0.1:{server.port}")
            for server in self.all()
        )
