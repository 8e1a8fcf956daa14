"""A real browser adds a passkey and logs in with it: Chromium and its virtual authenticator.

It is not collected by default, since it needs Chromium: ``make browser-check``.
"""

import asyncio
import itertools
import json
import re

import pytest
from websockets.asyncio.client import connect

from chassis.api import create_api
from testkit.clients import serving
from users.declaration import SERVICE

from .conftest import ORIGIN, PASSWORD

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
SCRIPT = """
(async () => {
  const call = async (path, {body, token} = {}) => {
    const headers = {};
    if (body) headers["Content-Type"] = "application/json";
    if (token) headers.Authorization = `Bearer ${token}`;
    const sent = {method: "POST", headers, body: body && JSON.stringify(body)};
    const answer = await fetch(`/api/v1${path}`, sent);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  };
  const {access_token: token} = await call("/auth/login", {body: CREDENTIALS});
  const creation = await call("/auth/passkeys/registration-options", {token});
  const made = await navigator.credentials.create({
    publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(creation.public_key),
  });
  const body = {name: "Chromium", credential: made.toJSON()};
  const added = await call("/auth/passkeys", {body, token});
  const request = await call("/auth/passkeys/log-in-options");
  const used = await navigator.credentials.get({
    publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(request.public_key),
  });
  const tokens = await call("/auth/passkeys/log-in", {body: {credential: used.toJSON()}});
  return JSON.stringify({added, tokens});
})()
"""


class Page:
    """A page of Chromium, driven by the DevTools protocol."""

    def __init__(self, socket):
        self._socket = socket
        self._ids = itertools.count(1)
        self._session = None

    async def call(self, method, **params):
        number = next(self._ids)
        sent = {"id": number, "method": method, "params": params}
        if self._session is not None:
            sent["sessionId"] = self._session
        await self._socket.send(json.dumps(sent))
        async for text in self._socket:
            message = json.loads(text)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
        pytest.fail("Chromium closed the connection")

    async def open(self, url):
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        await self.call("Page.enable")
        await self.call("Page.navigate", url=url)
        async for text in self._socket:
            if json.loads(text).get("method") == "Page.loadEventFired":
                return

    async def run(self, script):
        ran = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in ran, ran["exceptionDetails"]
        return json.loads(ran["result"]["value"])


@pytest.fixture
async def chromium(tmp_path):
    """Start Chromium, to which the front end's origin is at the address that a test serves."""
    started = []

    async def start(address):
        process = await asyncio.create_subprocess_exec(
            "chromium",
            "--headless=new",
            "--no-sandbox",
            "--no-proxy-server",
            "--remote-debugging-port=0",
            f"--user-data-dir={tmp_path}",
            f"--host-resolver-rules=MAP {ORIGIN.removeprefix('http://')} {address}",
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(process)
        assert process.stderr is not None
        async for line in process.stderr:
            if found := re.search(r"DevTools listening on (ws://\S+)", line.decode()):
                return found[1]
        pytest.fail("Chromium did not start")

    yield start
    for process in started:
        process.terminate()
        await process.communicate()


async def test_chromium_adds_a_passkey_and_logs_in_with_it(
    settings, register, verify_address, chromium, api_resources
):
    user = await register()
    await verify_address(user["email"])
    credentials = json.dumps({"email": user["email"], "password": PASSWORD})
    async with (
        serving(create_api(SERVICE, settings)) as url,
        connect(await chromium(url.removeprefix("http://")), max_size=None, proxy=None) as socket,
    ):
        page = Page(socket)
        await page.open(f"{ORIGIN}/.well-known/jwks.json")
        await page.call("WebAuthn.enable")
        await page.call("WebAuthn.addVirtualAuthenticator", options=AUTHENTICATOR)
        done = await page.run(SCRIPT.replace("CREDENTIALS", credentials))

    assert done["added"]["name"] == "Chromium"
    principal = api_resources.verifier.verify(done["tokens"]["access_token"])
    assert str(principal.user_id) == user["id"]
    assert {"user", "mfa"} < principal.methods
