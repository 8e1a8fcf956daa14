"""The addresses at which a process listens, of both families."""

from contextlib import suppress

import httpx
import pytest

from testkit.ipv6 import needs_ipv6
from testkit.waiting import until

from .conftest import StartProbe

BOTH = ("127.0.0.1", "[::1]")


async def reached(http: httpx.AsyncClient, port: int) -> tuple[str, ...]:
    """Return the addresses at which something listens."""
    found = []
    for host in BOTH:
        with suppress(httpx.ConnectError):
            await http.get(f"http://{host}:{port}/healthz/live")
            found.append(host)
    return tuple(found)


@needs_ipv6
@pytest.mark.parametrize(("host", "addresses"), [("*", BOTH), ("::1", BOTH[1:]), ("::", BOTH[1:])])
async def test_a_process_listens_at_the_addresses_of_its_settings(
    start_probe: StartProbe, http: httpx.AsyncClient, host: str, addresses: tuple[str, ...]
):
    probe = await start_probe("serves", HOST=host, INTERNAL_HOST=host)
    for port in (probe.port, probe.internal_port):

        async def listens(port: int = port) -> bool:
            return bool(await reached(http, port))

        await until(listens)
        assert await reached(http, port) == addresses
