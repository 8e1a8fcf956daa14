"""The settings of the service's database: addresses, pool and time-outs."""

from enum import StrEnum
from typing import Any, Self

from pydantic import Field, SecretStr, model_validator

from chassis.database.connecting import Address, Connector
from chassis.database.limits import milliseconds
from chassis.database.reachability import Reachability
from chassis.database.urls import PostgresUrl
from chassis.database.watching import StatementLog
from chassis.settings import Settings


class Pooler(StrEnum):
    """The kind of pooler between the service and PostgreSQL."""

    NONE = "none"
    TRANSACTION = "transaction"


class DatabaseSettings(Settings):
    """The addresses of the service's schema, and the size and time-outs of the pool."""

    database_url: PostgresUrl = Field(
        description="`postgresql://role:password@host:port/database` of the service's runtime role."
    )
    database_direct_url: PostgresUrl | None = Field(
        default=None,
        description="PostgreSQL's own address, for relay and LISTEN; default: `DATABASE_URL`.",
    )
    database_password: SecretStr | None = Field(
        default=None,
        description="The role's password, in place of one in the URLs. As a file in "
        "SECRETS_DIRECTORY it is read again for each connection.",
    )
    database_pooler: Pooler = Field(
        default=Pooler.NONE,
        description="`transaction` if `DATABASE_URL` leads to a pooler such as PgBouncer, in any "
        "mode; then `DATABASE_DIRECT_URL` must bypass it. A process that finds an undeclared "
        "pooler exits.",
    )
    database_pool_size: int = Field(
        default=10, ge=1, le=200, description="Connections that the pool keeps open."
    )
    database_pool_overflow: int = Field(
        default=5, ge=0, le=200, description="Connections beyond the pool's size, for a burst."
    )
    database_pool_timeout: float = Field(
        default=5, gt=0, le=60, description="Seconds that a request waits for a connection."
    )
    database_pool_recycle: int = Field(
        default=1800, ge=-1, description="Seconds after which a connection is replaced; -1: never."
    )
    database_pool_ping_after: float = Field(
        default=5,
        ge=0,
        le=3600,
        description="Seconds idle after which a pooled connection is tested before use, one round "
        "trip; 0: each time. One that the server closed is replaced in any case.",
    )
    database_statement_timeout: float = Field(
        default=10,
        gt=0,
        le=600,
        description="Seconds that one statement may take; behind a pooler, its `connect_query` "
        "sets the limit. A statement or COMMIT that has no response DATABASE_CONNECT_TIMEOUT later "
        "is given up, as the server is lost.",
    )
    database_connect_timeout: float = Field(
        default=3, gt=0, le=60, description="Seconds that opening a connection may take."
    )
    database_log_statements: bool = Field(
        default=False,
        description="Whether to log each SQL statement with its time, never its parameters. For "
        "debugging.",
    )
    database_slow_statement_ms: float = Field(
        default=0,
        ge=0,
        le=600_000,
        description="Milliseconds from which on a SQL statement is logged as slow; 0: none is.",
    )

    @model_validator(mode="after")
    def _a_pooler_is_passed_by(self) -> Self:
        if self.database_pooler is Pooler.TRANSACTION and self.database_direct_url is None:
            message = (
                "DATABASE_POOLER is transaction, and DATABASE_DIRECT_URL is not set: relay and "
                "LISTEN need a session of their own, so give the address of PostgreSQL itself"
            )
            raise ValueError(message)
        return self

    def connector(self, reachability: Reachability | None = None) -> Connector:
        """Return the connector that opens the pool's connections."""
        return Connector(
            address=lambda: self._address("database_url"),
            name="database",
            pooled=self.database_pooler is Pooler.TRANSACTION,
            reachability=reachability,
            watch=self.statement_log().watch,
        )

    def direct_connector(self, reachability: Reachability | None = None) -> Connector:
        """Return the connector for connections that hold locks or listen; they bypass poolers."""
        name = "database" if self.database_direct_url is None else "database_direct"
        return Connector(
            address=lambda: self._address(f"{name}_url"),
            name=name,
            reachability=reachability,
            watch=self.statement_log().watch,
        )

    def statement_log(self) -> StatementLog:
        """Return what logs the statements of a connection, if these settings want any logged."""
        return StatementLog(
            every=self.database_log_statements, slow_ms=self.database_slow_statement_ms
        )

    def _address(self, name: str) -> Address:
        url = self.secret(name)
        if url is None:
            message = f"{name.upper()} is not set"
            raise ValueError(message)
        return Address(url=url, password=self.secret("database_password"))

    def connect_options(self, application_name: str) -> dict[str, Any]:
        """Return the arguments of ``asyncpg.connect`` for the pool's connections.

        A pooler in transaction mode accepts no session setting except the application's name. It
        may also run the next command on another server connection than the one that has a prepared
        statement. So statements have no names, and each is parsed together with its use.
        """
        options: dict[str, Any] = {
            "timeout": self.database_connect_timeout,
            # Later than the server's own limit, which does not end the wait for a lost server.
            "command_timeout": self.database_statement_timeout + self.database_connect_timeout,
        }
        if self.database_pooler is Pooler.TRANSACTION:
            return options | {
                "statement_cache_size": 0,
                "server_settings": {"application_name": application_name},
            }
        return options | {
            "server_settings": {
                "application_name": application_name,
                "statement_timeout": milliseconds(self.database_statement_timeout),
                "jit": "off",
            }
        }

    def dialect_options(self) -> dict[str, Any]:
        """Return the options of SQLAlchemy's dialect for asyncpg, for the same reasons."""
        if self.database_pooler is Pooler.TRANSACTION:
            return {"prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
        return {}
