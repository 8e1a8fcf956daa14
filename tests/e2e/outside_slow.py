"""Slow clients, made by Debian's slowhttptest, do not disturb others; run by `make outside-check`.

All connections stay on this machine, and their number and time are bounded.
"""

import asyncio
import shutil
import statistics
import time

import httpx
import pytest

CONNECTIONS = 300
SECONDS = 15
ATTACKS = {
    # A head that never ends, a field every second.
    "slowloris": ("-H", "-i", "1", "-t", "GET"),
    # A body that never ends.
    "slow body": ("-B", "-i", "1", "-t", "POST", "-s", "8192"),
    # A response that is read by a few bytes each second.
    "slow read": ("-X", "-w", "10", "-y", "20", "-n", "1", "-z", "10", "-k", "3"),
}
PATHS = {
    "slowloris": "/api/v1/products",
    "slow body": "/api/v1/auth/login",
    "slow read": "/openapi.json",
}


async def seconds_of_requests(http, count):
    seconds = []
    for _ in range(count):
        began = time.monotonic()
        answer = await http.get("/api/v1/products?limit=1")
        seconds.append(time.monotonic() - began)
        assert answer.status_code == 200, answer.text
    return seconds


@pytest.mark.parametrize("attack", ATTACKS)
async def test_others_are_served_while_slow_clients_hold_connections(system, attack):
    program = shutil.which("slowhttptest")
    assert program, "slowhttptest is missing: sudo apt-get install slowhttptest"
    async with httpx.AsyncClient(base_url=system.gateway_url, timeout=10, trust_env=False) as http:
        before = await seconds_of_requests(http, 20)
        attacker = await asyncio.create_subprocess_exec(
            *(program, *ATTACKS[attack], "-c", str(CONNECTIONS), "-r", "100", "-l", str(SECONDS)),
            *("-p", "5", "-u", system.gateway_url + PATHS[attack]),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        meanwhile = []
        reading = asyncio.create_task(attacker.communicate())
        while not reading.done():
            meanwhile += await seconds_of_requests(http, 5)
        output, _ = await reading
    said = output.decode(errors="replace")
    median = statistics.median(meanwhile)
    print(
        f"{attack}: {len(meanwhile)} requests, median {median * 1000:.1f} ms, "
        f"longest {max(meanwhile) * 1000:.0f} ms; before {statistics.median(before) * 1000:.1f} ms"
    )
    assert "slow HTTP test status" in said, said[-2000:]
    assert len(meanwhile) >= 20
    # The attack itself takes a core; a server that it blocks would take seconds.
    assert median < 20 * statistics.median(before) + 0.2
