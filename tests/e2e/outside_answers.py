"""httplint (by the author of REDbot) finds nothing bad in the responses of the gateway.

It needs packages of its own, so it is not part of `make test`: run `make outside-check`.
"""

import base64
import json
import os
import socket
import subprocess
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from .callers import account

HTTPLINT = "httplint==2026.10.4"
LINT = Path(__file__).parents[2] / "deploy" / "http" / "lint.py"
API = "/api/v1"
# httplint says that Accept is no field of a response. RFC 9110 §12.5.1 and §15.5.16 say that a 415
# may name with it what the server accepts.
EXCUSED = {("415", '"Accept" isn\'t valid in a response.')}


class Lines:
    """Sends requests as they are written, and keeps the bytes of their responses."""

    def __init__(self, url):
        self._url = urlsplit(url)
        self.exchanges = []

    def send(self, name, method, path, *, status, fields=(), body=b""):
        fields = [("Host", self._url.netloc), *fields, ("Connection", "close")]
        if body:
            fields.append(("Content-Length", str(len(body))))
        head = "".join(f"{field}: {value}\r\n" for field, value in fields)
        at = time.time()
        with socket.create_connection((self._url.hostname, self._url.port), timeout=30) as sent:
            sent.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
            received = b""
            while data := sent.recv(65536):
                received += data
        assert received.split(b" ", 2)[1] == str(status).encode(), (name, received[:500])
        self.exchanges.append(
            {
                "name": name,
                "method": method,
                "uri": f"{self._url.geturl()}{path}",
                "fields": fields,
                "at": at,
                "response": base64.b64encode(received).decode(),
            }
        )


@pytest.fixture
async def exchanges(system, client):
    """Responses of every kind, as a client receives them."""
    url = system.gateway_url
    _, token = await account(client)
    caller = ("Authorization", f"Bearer {token}")
    sent_json = ("Content-Type", "application/json")
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        product = (await http.get(f"{API}/products")).json()["items"][0]["id"]
        tag = (await http.get(f"{API}/products/{product}")).headers["etag"]
        me = (await http.get(f"{API}/users/me", headers=dict([caller]))).headers["etag"]
    address = {"name": "A", "line1": "1", "city": "L", "postal_code": "1", "country": "GB"}
    order = {"items": [{"product_id": product, "quantity": 1}], "shipping_address": address}
    placed = json.dumps(order).encode()

    def key():
        return ("Idempotency-Key", uuid.uuid4().hex)

    lines = Lines(url)
    send = lines.send
    send("list", "GET", f"{API}/products?limit=2", status=200)
    send("read", "GET", f"{API}/products/{product}", status=200)
    send("head", "HEAD", f"{API}/products/{product}", status=200)
    send("304", "GET", f"{API}/products/{product}", fields=[("If-None-Match", tag)], status=304)
    send("own", "GET", f"{API}/users/me", fields=[caller], status=200)
    send("own 304", "GET", f"{API}/users/me", fields=[caller, ("If-None-Match", me)], status=304)
    send("own list", "GET", f"{API}/orders", fields=[caller], status=200)
    send("201", "POST", f"{API}/orders", fields=[caller, sent_json, key()], body=placed, status=201)
    patch = [caller, ("Content-Type", "application/merge-patch+json"), ("If-Match", '"99"')]
    send("412", "PATCH", f"{API}/users/me", fields=patch, body=b'{"full_name":"B"}', status=412)
    send("422", "POST", f"{API}/orders", fields=[caller, sent_json, key()], body=b"{}", status=422)
    send("422 query", "GET", f"{API}/products?limit=x", status=422)
    send("400", "POST", f"{API}/orders", fields=[caller, sent_json, key()], body=b"{", status=400)
    send("404", "GET", f"{API}/products/{uuid.uuid4()}", status=404)
    send("404 route", "GET", "/nothing", status=404)
    send("401", "GET", f"{API}/users/me", status=401)
    wrong = [("Authorization", "Bearer x")]
    send("401 token", "GET", f"{API}/users/me", fields=wrong, status=401)
    send("403", "GET", f"{API}/audit", fields=[caller], status=403)
    send("405", "PUT", f"{API}/products", fields=[caller], status=405)
    send("options", "OPTIONS", f"{API}/products", status=204)
    origin = "http://page.example"
    preflight = [("Origin", origin), ("Access-Control-Request-Method", "GET")]
    send("preflight", "OPTIONS", f"{API}/products", fields=preflight, status=204)
    text = [caller, ("Content-Type", "text/plain"), key()]
    send("415", "POST", f"{API}/orders", fields=text, body=b"x", status=415)
    large = [caller, sent_json, key(), ("Content-Length", "99999999")]
    send("413", "POST", f"{API}/orders", fields=large, status=413)
    for path in ("/docs", "/openapi.json", "/asyncapi.json", "/.well-known/jwks.json"):
        send(path, "GET", path, status=200)
        send(f"head {path}", "HEAD", path, status=200)
    send("204", "DELETE", f"{API}/auth/sessions", fields=[caller], status=204)
    return lines.exchanges


def test_no_response_has_a_bad_note(exchanges):
    command = [os.environ["UV"], "tool", "run", "--quiet", "--from", HTTPLINT, "python", str(LINT)]
    given = "\n".join(map(json.dumps, exchanges))
    run = subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    linted = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(linted) == len(exchanges)
    for one in linted:
        for level, _, summary in one["notes"]:
            if level == "warning":
                print(f"{one['name']}: {summary}")
    bad = {
        (one["name"], summary)
        for one in linted
        for level, _, summary in one["notes"]
        if level == "bad"
    }
    assert bad - EXCUSED == set()
    assert bad >= EXCUSED, "httplint has changed: remove what it no longer says"
    assert all(one["notes"] for one in linted), "each response was read"
