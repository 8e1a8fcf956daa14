"""Check a system from inside, where its database and Kafka can be reached."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from chassis.database.newest import newest_revisions
from chassis.role_names import owner_role, runtime_role
from slipway.checks import Check, Grade
from slipway.errors import SlipwayError
from slipway.operate.topics import Topics
from slipway.services import SERVICES, service_directory

_MOST_SKEW = timedelta(seconds=30)
_KEY_AGE = timedelta(days=90)
_CONNECT_SECONDS = 10

_RIGHTS = """
    SELECT r.rolname AS role, r.rolsuper OR r.rolcreaterole OR r.rolcreatedb AS powerful,
        has_schema_privilege(r.oid, n.oid, 'CREATE') AS creates,
        has_schema_privilege(r.oid, n.oid, 'USAGE') AS uses, n.nspname AS schema,
        pg_get_userbyid(n.nspowner) AS owner,
        coalesce(array_to_string(r.rolconfig, ' ') LIKE '%transaction_timeout=%', false) AS bounded
    FROM pg_roles AS r CROSS JOIN pg_namespace AS n
    WHERE r.rolname = ANY ($1::text[]) AND n.nspname = ANY ($2::text[])
"""


async def inside_checks(
    *, urls: Mapping[str, str], topics: Topics, root: Path, key_file: Path | None = None
) -> list[Check]:
    """Return the checks of roles, migrations, clocks, topics and keys.

    Args:
        urls: of the database, by service: as a role that may read the service's schema.
        topics: those on the system's Kafka.
        root: the top of the repository, whose migrations the schemas should have.
        key_file: the private signing keys, if they are here.
    """
    checks = [await topic_check(topics)]
    try:
        for service in SERVICES:
            connection = await asyncpg.connect(urls[service], timeout=_CONNECT_SECONDS)
            try:
                if service == SERVICES[0]:
                    checks.append(await _clock(connection))
                    checks += await role_checks(connection)
                checks.append(await _migrations(connection, root, service))
            finally:
                await connection.close()
    except ValueError:  # its text may quote a part of the password
        mend = "Write postgresql://role:password@host:5432, with special characters as %40."
        checks.append(Check("database", Grade.FAULT, "the URL is not valid", mend))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        mend = "See docs/runbooks/database.md. Are address, role and password right?"
        checks.append(Check("database", Grade.FAULT, repr(error), mend))
    if key_file is not None:
        checks.append(await asyncio.to_thread(key_check, key_file))
    return checks


async def topic_check(topics: Topics) -> Check:
    """Return the check of the topics: each exists, with partitions and retention as declared."""
    try:
        differences = await topics.diff()
    except SlipwayError as error:
        mend = "Are the brokers' addresses, the user and its rights right?"
        return Check("topics", Grade.FAULT, str(error), mend)
    if not differences:
        return Check("topics", Grade.OK, f"all {len(topics.declared)} as declared")
    found = "; ".join(
        f"{each.topic}: {each.setting} is {each.present or 'missing'}, not {each.declared}"
        for each in differences
    )
    return Check("topics", Grade.FAULT, found, "`slipway topics apply` creates and alters them.")


async def role_checks(connection: asyncpg.Connection) -> list[Check]:
    """Return the check of each service's roles: what they lack, and what they must not have."""
    roles = [role for name in SERVICES for role in (owner_role(name), runtime_role(name))]
    rows = await connection.fetch(_RIGHTS, roles, list(SERVICES))
    rights = {(row["role"], row["schema"]): row for row in rows}
    return [_roles_of(service, rights) for service in SERVICES]


def _roles_of(service: str, rights: Mapping[tuple[str, str], asyncpg.Record]) -> Check:
    owner, runtime = owner_role(service), runtime_role(service)
    own = rights.get((runtime, service))
    mend = "`slipway db bootstrap` creates and corrects schemas, roles and grants."
    name = f"roles of {service}"
    if own is None or (owner, service) not in rights:
        return Check(name, Grade.FAULT, "the schema or a role is missing", mend)
    faults = []
    if own["powerful"]:
        faults.append(f"{runtime} is a superuser, or creates roles or databases")
    if own["creates"]:
        faults.append(f"{runtime} may change the schema")
    if not own["uses"]:
        faults.append(f"{runtime} may not use its schema")
    if own["owner"] != owner:
        faults.append(f"the schema is {own['owner']}'s, not {owner}'s")
    foreign = [
        other
        for other in SERVICES
        if other != service and (row := rights.get((runtime, other))) and row["uses"]
    ]
    faults += [f"{runtime} may use the schema of {other}" for other in foreign]
    if faults:
        return Check(name, Grade.FAULT, "; ".join(faults), _mend_of(faults, mend))
    if not own["bounded"]:
        return Check(name, Grade.WARNING, f"{runtime} has no transaction_timeout", mend)
    return Check(name, Grade.OK, "as bootstrap grants them")


def _mend_of(faults: Iterable[str], bootstrap: str) -> str:
    too_much = any("may change" in one or "superuser" in one or "of " in one for one in faults)
    revoke = " REVOKE what was granted by hand: it only adds rights." if too_much else ""
    return bootstrap + revoke


async def _migrations(connection: asyncpg.Connection, root: Path, service: str) -> Check:
    name, mend = f"migrations of {service}", f"`slipway migrate {service}`"
    newest = await asyncio.to_thread(newest_revisions, service_directory(root, service))
    try:
        rows = await connection.fetch(f"SELECT version_num FROM {service}.alembic_version")  # noqa: S608 - a name of ours
    except asyncpg.UndefinedTableError:
        return Check(name, Grade.FAULT, "never migrated", mend)
    present = {row["version_num"] for row in rows}
    if present == newest:
        return Check(name, Grade.OK, ", ".join(sorted(present)))
    found = f"at {', '.join(sorted(present))}; this checkout has {', '.join(sorted(newest))}"
    return Check(name, Grade.FAULT, found, f"{mend}, or check out the release that runs.")


async def _clock(connection: asyncpg.Connection) -> Check:
    skew = await connection.fetchval("SELECT clock_timestamp()") - datetime.now(UTC)
    found = f"{skew.total_seconds():+.0f} s from this machine's"
    if abs(skew) <= _MOST_SKEW:
        return Check("clock of the database", Grade.OK, found)
    mend = "Leases, retention and tokens depend on clocks. Synchronize both (NTP)."
    return Check("clock of the database", Grade.WARNING, found, mend)


def key_check(private: Path) -> Check:
    """Return the check of the age of a private key file, by the time of its last change."""
    name = "signing keys"
    try:
        age = timedelta(seconds=time.time() - private.stat().st_mtime)
    except OSError as error:
        return Check(name, Grade.FAULT, str(error), "`slipway keys make` creates the first key.")
    found = f"changed {age.days} days ago"
    if age <= _KEY_AGE:
        return Check(name, Grade.OK, found)
    mend = "Rotate it: `slipway keys rotate`, docs/runbooks/keys.md."
    return Check(name, Grade.WARNING, found, mend)
