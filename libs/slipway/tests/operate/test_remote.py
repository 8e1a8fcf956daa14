"""Requests to processes elsewhere take the way that kubectl and curl take."""

import pytest
from fastapi import FastAPI

from slipway.operate.remote import Credentials, Remote
from slipway.operate.worker_api import Access
from testkit.listeners import listening

from .behind_proxy import behind_a_proxy


@pytest.fixture
def app():
    app = FastAPI(openapi_url=None)

    @app.get("/well")
    def well():
        return "well"

    @app.post("/api/v1/auth/login")
    def log_in():
        return {
            "access_token": "an access token",
            "refresh_token": "r",
            "expires_in": 600,
            "token_type": "Bearer",
            "scope": "",
        }

    return app


async def test_a_cluster_behind_the_proxy_of_the_environment_is_reached(app, tmp_path, monkeypatch):
    async with (
        behind_a_proxy(app, tmp_path, monkeypatch) as url,
        Remote.opened(Credentials(token="t")) as remote,
    ):
        assert await remote.get(f"{url}/well") == (200, '"well"')


async def test_an_internal_port_and_this_machine_are_reached_past_the_proxy(app, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with listening(app) as server, Remote.opened(Credentials()) as remote:
        url = f"http://127.0.0.1:{server.config.port}/well"
        assert await remote.get(url) == (200, '"well"')


async def test_a_log_in_takes_the_proxy_of_the_environment(app, tmp_path, monkeypatch):
    async with behind_a_proxy(app, tmp_path, monkeypatch) as url:
        access = await Access.find(
            "orders",
            state=None,
            url="http://127.0.0.1:1",
            token=None,
            login=("admin@example.com", "password"),
            gateway=url,
        )
    assert access.token == "an access token"
