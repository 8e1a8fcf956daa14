"""A gateway on this machine is reached directly, any other as the environment says."""

import asyncio

import httpx
import pytest

from client import FeedError, Retries, SlipwayClient


async def test_a_gateway_on_this_machine_is_reached_past_a_proxy(
    served: SlipwayClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy can't reach this machine's loopback. Browsers bypass the proxy as well."""
    set_proxy_variables(monkeypatch)
    async with SlipwayClient(served._base_url) as client:
        assert (await client.me("good")).email == "a@example.com"
        async with client.feed("good") as feed:
            assert feed.event_id is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
async def test_this_machine_has_several_names(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_proxy_variables(monkeypatch)
    async with SlipwayClient(f"http://{host}:1", retries=Retries(attempts=1)) as client:
        with pytest.raises(httpx.ConnectError) as refused:
            await client.me("a")
        with pytest.raises(FeedError) as unopened:
            await client.feed("a").__aenter__()
    assert "proxy" not in f"{refused.value!r} {unopened.value!r}".lower()


@pytest.mark.parametrize(("trust_env", "proxied"), [(True, True), (False, False)])
async def test_a_gateway_elsewhere_is_reached_as_the_environment_says(
    trust_env: bool, proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heads.put(await reader.readline())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        set_proxy_variables(monkeypatch, port=server.sockets[0].getsockname()[1])
        async with SlipwayClient(
            "http://gateway.invalid", trust_env=trust_env, retries=Retries(attempts=1)
        ) as client:
            with pytest.raises(httpx.HTTPError):
                await client.me("a")
    assert heads.qsize() == int(proxied)


def set_proxy_variables(monkeypatch: pytest.MonkeyPatch, *, port: int = 9) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
