"""Serve a gateway without services, and print its URL, until its input ends.

Keys are made for this run. Nothing in the audits reads a service.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from localservers.ports import free_port
from testkit.tokens import ISSUER, TestTokens

NOWHERE = "http://127.0.0.1:1"
SECONDS = 60


def main() -> int:
    """Return the exit status."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            **os.environ,
            "ENVIRONMENT": "development",
            "PORT": str(port),
            "INTERNAL_PORT": str(free_port()),
            "AUTH_ISSUER": ISSUER,
            "AUTH_JWKS_FILE": str(TestTokens(Path(directory)).jwks_file),
            "USERS_URL": NOWHERE,
            "ORDERS_URL": NOWHERE,
            "NOTIFICATIONS_URL": NOWHERE,
            "VALKEY_URL": "valkey://127.0.0.1:1/0",
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "SLIPWAY_LIMITS": "off",
            "GRAPHQL_INTROSPECTION": "on",
        }
        with subprocess.Popen(
            [sys.executable, "-m", "gateway"], env=environment, stdout=sys.stderr
        ) as gateway:
            try:
                url = f"http://127.0.0.1:{port}/graphql"
                wait_for(url, gateway)
                sys.stdout.write(f"{url}\n")
                sys.stdout.flush()
                sys.stdin.read()
            finally:
                gateway.terminate()
    return 0


def wait_for(url: str, gateway: subprocess.Popen[bytes]) -> None:
    """Return once the gateway responds; raises an error if it ends, or is too slow."""
    until = time.monotonic() + SECONDS
    while gateway.poll() is None and time.monotonic() < until:
        try:
            with urlopen(f"{url}?query=%7B__typename%7D", timeout=5):  # noqa: S310 - our own URL
                return
        except URLError:
            time.sleep(0.1)
    message = "The gateway did not start. Its log above has the reason."
    raise SystemExit(message)


if __name__ == "__main__":
    sys.exit(main())
