"""A server with TLS that only the proxy of the environment reaches."""

import asyncio
from contextlib import asynccontextmanager

from testkit.certificates import Certificates
from testkit.listeners import listening

ELSEWHERE = "127.0.0.2"
"""No server listens there, so only a proxy reaches it."""


@asynccontextmanager
async def _proxy_to(port):
    """Yield the address of a proxy whose tunnels all lead to a port of this machine."""

    async def copied(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def tunnel(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(copied(reader, inner_writer), copied(inner_reader, writer))

    async with await asyncio.start_server(tunnel, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def behind_a_proxy(app, tmp_path, monkeypatch, **options):
    """Yield the address of a server with TLS that only the environment's proxy reaches."""
    certificates = Certificates(tmp_path)
    certificates.server(ELSEWHERE)
    chain = tmp_path / f"{ELSEWHERE}.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority_file()))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    options |= {"ssl_certfile": chain, "ssl_keyfile": chain, "date_header": False}
    async with listening(app, **options) as server, _proxy_to(server.config.port) as proxy:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy)
        yield f"https://{ELSEWHERE}:{server.config.port}"
