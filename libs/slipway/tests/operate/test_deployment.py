from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from slipway.checks import Grade
from slipway.operate.deployment import certificate_check, deployment_checks
from testkit.listeners import listening

from .behind_proxy import behind_a_proxy


def _gateway(*, skew=0, catalogue=200, keys=1, fields=True):
    app = FastAPI(openapi_url=None)
    now = format_datetime(datetime.now(UTC) + timedelta(seconds=skew), usegmt=True)
    common = {"Date": now}
    if fields:
        common |= {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

    @app.get("/api/v1/products")
    def products():
        return JSONResponse({}, status_code=catalogue, headers=common)

    @app.get("/.well-known/jwks.json")
    def jwks():
        return {"keys": [{}] * keys}

    @app.get("/openapi.json")
    def document():
        return {"paths": {"/a": {}}}

    return app


async def _checked(app):
    async with listening(app, date_header=False) as server:
        checks = await deployment_checks(f"http://127.0.0.1:{server.config.port}/")
    return {check.name: check for check in checks}


async def test_all_is_well():
    checks = await _checked(_gateway())
    assert {check.grade for check in checks.values()} == {Grade.OK}
    assert checks["document"].found == "1 paths"


async def test_a_gateway_on_this_machine_is_reached_past_a_proxy(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    checks = await _checked(_gateway())
    assert {check.grade for check in checks.values()} == {Grade.OK}


async def test_the_certificate_of_a_gateway_is_read_through_the_proxy(tmp_path, monkeypatch):
    async with behind_a_proxy(_gateway(), tmp_path, monkeypatch) as url:
        checks = {check.name: check for check in await deployment_checks(url)}
    assert checks["certificate"].found == "valid for 0 days"
    assert checks.pop("certificate").grade is Grade.WARNING
    assert {check.grade for check in checks.values()} == {Grade.OK}


async def test_the_certificate_is_read_from_a_gateway_that_closes_each_connection(
    tmp_path, monkeypatch
):
    closing = {"headers": [("Connection", "close")]}
    async with behind_a_proxy(_gateway(), tmp_path, monkeypatch, **closing) as url:
        checks = {check.name: check for check in await deployment_checks(url)}
    assert checks["certificate"].found == "valid for 0 days"


async def test_a_certificate_that_is_not_trusted_is_the_fault(tmp_path, monkeypatch):
    async with behind_a_proxy(_gateway(), tmp_path, monkeypatch) as url:
        monkeypatch.delenv("SSL_CERT_FILE")
        (check,) = await deployment_checks(url)
    assert (check.name, check.grade) == ("certificate", Grade.FAULT)
    assert "CERTIFICATE_VERIFY_FAILED" in check.found
    assert "SSL_CERT_FILE" in check.mend


@pytest.mark.parametrize(
    ("gateway", "name", "grade", "mend"),
    [
        ({"catalogue": 503}, "catalogue", Grade.FAULT, "orders service"),
        ({"catalogue": 404}, "catalogue", Grade.FAULT, "Another server"),
        ({"skew": 90}, "clock", Grade.WARNING, "NTP"),
        ({"keys": 0}, "public keys", Grade.FAULT, "keys.md"),
        ({"fields": False}, "header fields", Grade.WARNING, "removes them"),
    ],
)
async def test_a_fault_is_named_with_what_to_do(gateway, name, grade, mend):
    checks = await _checked(_gateway(**gateway))
    assert checks[name].grade is grade
    assert mend in checks[name].mend
    assert {check.grade for check in checks.values() if check.name != name} == {Grade.OK}


async def test_nothing_more_is_checked_if_the_gateway_does_not_respond():
    (check,) = await deployment_checks("http://127.0.0.1:1")
    assert (check.name, check.grade) == ("gateway", Grade.FAULT)


@pytest.mark.parametrize("body", ["<!doctype html>", "[]", "null", '{"keys": 1, "paths": 1}'])
async def test_another_server_at_the_address_is_a_fault_and_no_stack_trace(body):
    app = FastAPI(openapi_url=None)

    @app.get("/{path:path}")
    def page(path: str):
        return Response(body, headers={"Date": "yesterday", "X-Path": path})

    checks = await _checked(app)
    assert checks["public keys"].grade is Grade.FAULT
    assert checks["document"].grade is Grade.FAULT
    assert checks["clock"].grade is Grade.WARNING
    assert {checks[name].mend for name in ("public keys", "document", "clock")} == {
        "Is this the gateway? Another server may have this address."
    }


@pytest.mark.parametrize(("days", "grade"), [(15, Grade.OK), (13, Grade.WARNING)])
def test_a_certificate_that_ends_soon_is_a_warning(days, grade):
    assert certificate_check(timedelta(days=days)).grade is grade
