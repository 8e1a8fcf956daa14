"""One schema and two roles for each service: an owner that migrates, a runtime role without DDL.

The database's grants ensure that a service can only read and write its own schema.
"""

import asyncpg

from chassis.database.limits import IDLE_SECONDS, LOCK_SECONDS, TRANSACTION_SECONDS
from chassis.role_names import owner_role, runtime_role

# Limits of the runtime role. The limit of a statement is the setting DATABASE_STATEMENT_TIMEOUT.
_RUNTIME_LIMITS = {
    "idle_in_transaction_session_timeout": f"{IDLE_SECONDS:.0f}s",
    "transaction_timeout": f"{TRANSACTION_SECONDS:.0f}s",
    "lock_timeout": f"{LOCK_SECONDS:.0f}s",
}
# The lock allows one bootstrap at a time in a database. Roles belong to the whole server, which an
# advisory lock does not cover, so a conflict with a bootstrap in another database is retried.
_LOCK = 0x51_19_3A_77
_ATTEMPTS = 10
_CONCURRENT = (
    asyncpg.DuplicateObjectError,
    asyncpg.UniqueViolationError,
    asyncpg.InternalServerError,  # "tuple concurrently updated"
)


async def bootstrap(
    connection: asyncpg.Connection, service: str, *, owner_password: str, runtime_password: str
) -> None:
    """Create the schema and both roles of `service`, or update existing ones.

    Args:
        connection: to the database, as a role that may create roles and schemas.
        service: the service's name, which is also the schema's.
        owner_password: the password of ``<service>_owner``.
        runtime_password: the password of ``<service>_runtime``.
    """
    attempts = 0
    while True:
        attempts += 1
        try:
            await _bootstrap(connection, service, owner_password, runtime_password)
        except _CONCURRENT:
            if attempts == _ATTEMPTS:
                raise
        else:
            return


async def _bootstrap(
    connection: asyncpg.Connection, service: str, owner_password: str, runtime_password: str
) -> None:
    owner, runtime = owner_role(service), runtime_role(service)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await _role(connection, owner, owner_password, service)
        await _role(connection, runtime, runtime_password, service)
        await _become_able_to_act_as(connection, owner)
        for name, value in _RUNTIME_LIMITS.items():
            await connection.execute(f"ALTER ROLE {runtime} SET {name} = '{value}'")
        database = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(
            f"""
            REVOKE ALL ON DATABASE {database} FROM PUBLIC;
            REVOKE ALL ON SCHEMA public FROM PUBLIC;
            GRANT CONNECT ON DATABASE {database} TO {owner}, {runtime};
            CREATE SCHEMA IF NOT EXISTS {service};
            ALTER SCHEMA {service} OWNER TO {owner};
            GRANT USAGE ON SCHEMA {service} TO {runtime};
            GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {service} TO {runtime};
            GRANT USAGE ON ALL SEQUENCES IN SCHEMA {service} TO {runtime};
            ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {service}
                GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {runtime};
            ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {service}
                GRANT USAGE ON SEQUENCES TO {runtime};
            """
        )


async def _become_able_to_act_as(connection: asyncpg.Connection, role: str) -> None:
    """Grant `role` to the connection's role, unless that is a superuser.

    Without the grant it could not give objects to `role`. Managed servers offer no superuser.
    """
    query = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    if not await connection.fetchval(query):
        await connection.execute(f"GRANT {role} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE")


async def _role(connection: asyncpg.Connection, role: str, password: str, search_path: str) -> None:
    exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    verb = "ALTER" if exists else "CREATE"
    quoted = await connection.fetchval("SELECT quote_literal($1::text)", password)
    await connection.execute(f"{verb} ROLE {role} LOGIN PASSWORD {quoted}")
    await connection.execute(f"ALTER ROLE {role} SET search_path = {search_path}")
    # asyncpg sends 24 hours as an interval of one day, and a day has 23 or 25 hours when the time
    # zone of a session changes to or from summer time.
    await connection.execute(f"ALTER ROLE {role} SET TimeZone = 'UTC'")
