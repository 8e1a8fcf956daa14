"""A real browser adds a passkey and logs in with it: Chromium and its virtual authenticator.

It is not collected by default, since it needs Chromium: ``make browser-check``.
"""

from chassis.api import create_api
from testkit.browsers import chromium, visitor
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
async (credentials) => {
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
  const {access_token: token} = await call("/auth/login", {body: credentials});
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
  return {added, tokens};
}
"""


async def test_chromium_adds_a_passkey_and_logs_in_with_it(
    request, settings, register, verify_address, api_resources
):
    user = await register()
    await verify_address(user["email"])
    async with serving(create_api(SERVICE, settings)) as url:
        # The front end's origin is at the address that this test serves.
        rule = f"MAP {ORIGIN.removeprefix('http://')} {url.removeprefix('http://')}"
        async with (
            chromium(f"--host-resolver-rules={rule}") as browser,
            visitor(browser, name=request.node.name) as page,
        ):
            await page.goto(f"{ORIGIN}/.well-known/jwks.json")
            devtools = await page.context.new_cdp_session(page)
            await devtools.send("WebAuthn.enable")
            await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
            credentials = {"email": user["email"], "password": PASSWORD}
            done = await page.evaluate(SCRIPT, credentials)

    assert done["added"]["name"] == "Chromium"
    principal = api_resources.verifier.verify(done["tokens"]["access_token"])
    assert str(principal.user_id) == user["id"]
    assert {"user", "mfa"} < principal.methods
