"""Real processes of the service, with settings from their environment and a log to read."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM

import httpx

from localservers.ports import free_port
from testkit.databases import ServiceDatabase
from testkit.kafka import TestTopics
from testkit.tokens import ISSUER, TestTokens
from testkit.waiting import until


@dataclass(frozen=True, kw_only=True)
class Running:
    """One process that is ready.

    Attributes:
        port: its public port, which only an API process serves.
        log: what it wrote to standard output and standard error.
    """

    process: asyncio.subprocess.Process
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def stopped(self, *, seconds: float) -> str:
        """Send SIGTERM, check that the process exits with 0 within this time, return its log."""
        self.process.send_signal(SIGTERM)
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
        written = await asyncio.to_thread(self.log.read_text, encoding="utf-8")
        assert code == 0, written[-4000:]
        return written


def environment_of(
    database: ServiceDatabase, topics: TestTopics, tokens: TestTokens, **more: str
) -> dict[str, str]:
    """Return the settings of both processes; `more` are further ones."""
    return {
        "PATH": os.environ["PATH"],
        "SETTINGS_FILE": os.devnull,
        "ENVIRONMENT": "development",
        "DATABASE_URL": database.runtime_url,
        "KAFKA_BOOTSTRAP_SERVERS": topics.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": topics.prefix,
        "AUTH_ISSUER": ISSUER,
        "AUTH_JWKS_FILE": str(tokens.jwks_file),
        **more,
    }


@asynccontextmanager
async def running(
    kind: str, environment: dict[str, str], directory: Path
) -> AsyncIterator[Running]:
    """Run `api` or `worker`, and yield it once it is ready; its log is in the directory."""
    port, internal = free_port(), free_port()
    path = directory / f"{kind}.log"
    given = environment | {"PORT": str(port), "INTERNAL_PORT": str(internal)}
    with await asyncio.to_thread(path.open, "wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chassis.run", "notifications", kind),
            env=given,
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:

            async def ready() -> bool:
                assert process.returncode is None, path.read_text(encoding="utf-8")[-4000:]
                try:
                    answer = await http.get(f"http://127.0.0.1:{internal}/healthz/ready")
                except httpx.TransportError:
                    return False
                return answer.status_code == 200

            await until(ready, seconds=60)
        yield Running(process=process, port=port, log=path)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
