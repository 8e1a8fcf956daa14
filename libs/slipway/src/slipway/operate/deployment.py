"""Check a deployment from outside, through its gateway, for what commonly goes wrong."""

import ssl
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from slipway.checks import Check, Grade

_TIMEOUT_SECONDS = 10
_MOST_SKEW = timedelta(seconds=30)
_CERTIFICATE_LEFT = timedelta(days=14)
_OTHER = "Is this the gateway? Another server may have this address."
# A proxy can't reach this machine's gateway. `trust_env=False` would also ignore SSL_CERT_FILE.
_DIRECT = {"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None}
_HEADERS = ("x-content-type-options", "referrer-policy")


async def deployment_checks(url: str) -> list[Check]:
    """Return the checks of the system behind a gateway. They need no account.

    Args:
        url: the gateway's address, e.g. ``https://api.example.com``.
    """
    url = url.rstrip("/")
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS, mounts=_DIRECT) as http:
        first = await _request(http, "/api/v1/products?limit=1")
        if isinstance(first, Check):
            return [first]
        checks = [_served(first), _clock(first), _header_fields(first), await _keys(http)]
        checks.append(await _document(http))
    if url.startswith("https"):
        checks.append(_certificate(first))
    return checks


async def _request(http: httpx.AsyncClient, path: str) -> httpx.Response | Check:
    try:
        return await http.get(path)
    except httpx.HTTPError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            mend = "Renew it, or trust its authority: SSL_CERT_FILE names the authority's file."
            return Check("certificate", Grade.FAULT, str(error), mend)
        mend = "Is the address right? Is the gateway ready: `kubectl get pods`, `slipway status`?"
        return Check("gateway", Grade.FAULT, f"no response: {error!r}", mend)


def _served(response: httpx.Response) -> Check:
    if response.is_success:
        milliseconds = response.elapsed.total_seconds() * 1000
        return Check("catalogue", Grade.OK, f"{response.status_code} in {milliseconds:.0f} ms")
    mend = "The gateway responds, and the orders service does not: see docs/runbooks/gateway.md."
    if response.is_client_error:
        mend = _OTHER
    return Check("catalogue", Grade.FAULT, str(response.status_code), mend)


def _clock(response: httpx.Response) -> Check:
    text = response.headers.get("date")
    if text is None:
        return Check("clock", Grade.WARNING, "the response has no Date", "")
    try:
        skew = parsedate_to_datetime(text).astimezone(UTC) - datetime.now(UTC)
    except ValueError:
        return Check("clock", Grade.WARNING, f"the response has no valid Date: {text}", _OTHER)
    found = f"{skew.total_seconds():+.0f} s from this machine's"
    if abs(skew) <= _MOST_SKEW:
        return Check("clock", Grade.OK, found)
    mend = "Tokens are rejected if clocks differ by a minute. Synchronize both (NTP)."
    return Check("clock", Grade.WARNING, found, mend)


def _header_fields(response: httpx.Response) -> Check:
    missing = [name for name in _HEADERS if name not in response.headers]
    if not missing:
        return Check("header fields", Grade.OK, "as the gateway sets them")
    mend = "A proxy in front of the gateway removes them, or this is not the gateway."
    return Check("header fields", Grade.WARNING, f"missing: {', '.join(missing)}", mend)


async def _keys(http: httpx.AsyncClient) -> Check:
    response = await _request(http, "/.well-known/jwks.json")
    if isinstance(response, Check) or not response.is_success:
        mend = "Is the users service ready? No token can be verified by others without its keys."
        return Check("public keys", Grade.FAULT, "not served", mend)
    try:
        number = len(response.json()["keys"])
    except (ValueError, LookupError, TypeError):
        return Check("public keys", Grade.FAULT, "not a JWK set", _OTHER)
    if number:
        return Check("public keys", Grade.OK, str(number))
    return Check("public keys", Grade.FAULT, "none", "See docs/runbooks/keys.md.")


async def _document(http: httpx.AsyncClient) -> Check:
    response = await _request(http, "/openapi.json")
    if isinstance(response, Check) or not response.is_success:
        mend = "A service is not ready: the document is merged from all of them."
        return Check("document", Grade.WARNING, "not served", mend)
    try:
        return Check("document", Grade.OK, f"{len(response.json()['paths'])} paths")
    except (ValueError, LookupError, TypeError):
        return Check("document", Grade.FAULT, "not an OpenAPI document", _OTHER)


def _certificate(response: httpx.Response) -> Check:
    """Return the check of the response's own connection: a new one would bypass a proxy."""
    certificate = response.extensions["network_stream"].get_extra_info("ssl_object").getpeercert()
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    return certificate_check(ends - datetime.now(UTC))


def certificate_check(left: timedelta) -> Check:
    """Return the check of a certificate that is valid for `left`."""
    found = f"valid for {left.days} days"
    if left > _CERTIFICATE_LEFT:
        return Check("certificate", Grade.OK, found)
    return Check("certificate", Grade.WARNING, found, "Renew it: clients will reject it soon.")
