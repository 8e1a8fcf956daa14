"""Each route of each service, served lean and by FastAPI: the same outcome for the same request.

The endpoints are replaced by one that returns what it was given. Database and tokens are fakes that
record what is done with them. Rendering is compared in the chassis' own tests.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import chain
from typing import Any

import pytest
from fastapi import Request, Response
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from starlette.datastructures import Headers

from chassis.http import Router
from chassis.http.endpoints import with_parameters
from chassis.http.lean import LeanRoute, compiled
from chassis.library_internals.fastapi import declared_routes
from chassis.operations import audit_routes, dead_letter_routes, job_routes, replay_routes
from chassis.operations.app import Operations
from chassis.service import installed_services
from testkit.two_forms import GOOD, NARROW, Form, Outcome, Sent

ROUTERS = {service.name: list(service.routers) for service in installed_services()} | {
    "operations": [
        dead_letter_routes.router,
        job_routes.router,
        replay_routes.router,
        audit_routes.router,
    ]
}
UUID_TEXT = "0190f3a4-0000-7000-8000-000000000001"
AUTHORIZED = ("authorization", f"Bearer {GOOD}")
AUTHORIZATIONS = [
    (),
    (("authorization", "Bearer other"),),
    (("authorization", f"Bearer {NARROW}"),),
    (("authorization", "Basic good"),),
    (("authorization", "Bearer"),),
    (AUTHORIZED, ("authorization", "Bearer other")),
]
TEXTS = (
    "", "1", "20", "0", "-1", "101", "1_0", "1.0", "9223372036854775808", "true", "null", "abc",
    "%00", "%ff", "%f0%9f%98%80", UUID_TEXT, UUID_TEXT.upper(), "2026-01-02T03:04:05Z",
    "2026-01-02", "placed", "a%20b", "x" * 300, "x" * 1001,
)  # fmt: skip
FIELD_VALUES = ("", "k", "a b", "x" * 256, "x" * 1001, '"1"', 'W/"1"', "*", '"1", "2"', "\xe9")
CONTENT_TYPES = (
    (), "text/plain", "application/json; charset=utf-8", "APPLICATION/JSON", "application/json;x",
    "application/merge-patch+json", "application/x-www-form-urlencoded", "multipart/form-data",
)  # fmt: skip
BODIES = (
    b"", b" ", b"{", b"null", b"[]", b'"x"', b"1", b"{}", b"\xef\xbb\xbf{}", b"\xef\xbb\xbf" * 2,
    b"NaN", b'{"a": Infinity}', b'{"a": 1e999}', '{"a": 1}'.encode("utf-16"), b"\xff", b'"\\ud800"',
    b'{"\\ud800": "\\ud800"}', b"[" * 2000, b'{"a": ' * 200 + b"1" + b"}" * 200, b"{} {}",
)  # fmt: skip
WRONG_VALUES: tuple[Any, ...] = (
    None, "", 1, -1, 1.0, 1.5, 10**30, True, "x", "x" * 5000, "\0", "\ud800", [], {}, [None],
    {"a": []}, "1", UUID_TEXT, "2026-01-02T03:04:05Z",
)  # fmt: skip
BY_FORMAT = {"uuid": UUID_TEXT, "date-time": "2026-01-02T03:04:05Z", "email": "ada@example.com"}
CANDIDATES = (
    "xx",
    "DE",
    "EUR",
    "correct horse battery staple",
    "A-1",
    "12345",
    "123456",
    "1:" + "0" * 64,
)


def recording(router: Any) -> Router:
    """Return the same routes, with endpoints that return what they were given."""
    copy = Router()
    for route in router.routes:
        if not isinstance(route, APIRoute):
            continue
        copy.add_api_route(
            route.path,
            with_parameters(recorder(), route.endpoint),
            methods=list(route.methods or ()),
            status_code=route.status_code,
            response_model=None,
        )
    return copy


def recorder() -> Any:
    async def record(**given: Any) -> dict[str, Any]:
        return {name: shown(value) for name, value in sorted(given.items())}

    return record


def shown(value: Any) -> Any:
    if isinstance(value, Request):
        return "request"
    if isinstance(value, Response):
        value.headers["X-Seen"] = "yes"
        return repr(value.status_code)
    if isinstance(value, Headers):
        return repr(value.raw)
    if is_dataclass(value):
        return {one.name: shown(getattr(value, one.name)) for one in fields(value)}
    is_plain = type(value).__module__ in {"builtins", "uuid", "datetime"}
    is_shape = hasattr(type(value), "model_fields")
    return repr(value) if is_plain or is_shape else type(value).__qualname__


def operations(service: str) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Yield method, path, operation and component schemas of each route, as documented."""
    if service == "operations":
        document = Operations(title="O", registry=CollectorRegistry()).app.openapi()
    else:
        document = Form(ROUTERS[service], lean=False).app.openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation, document["components"]["schemas"]


def requests(
    method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]
) -> Iterator[Sent]:
    """Yield good, bad, missing, repeated and extra inputs for one operation."""
    parameters = operation.get("parameters", [])
    good_path = path
    for one in parameters:
        if one["in"] == "path":
            value = good(one["schema"], schemas)
            good_path = good_path.replace(f"{{{one['name']}}}", str(value))
    key = ("idempotency-key", "k")
    content = operation.get("requestBody", {}).get("content", {})
    bodies = list(bodies_of(content, schemas))
    body = bodies[0] if bodies else b""
    kind = ("content-type", "application/json")

    def sent(target: str = good_path, headers: Any = (AUTHORIZED, key, kind), body: bytes = body):
        return Sent(method=method, target=target, headers=tuple(headers), body=body)

    yield sent()
    for authorization in AUTHORIZATIONS:
        yield sent(headers=(*authorization, key, kind))
        yield sent(headers=(*authorization, kind), body=b"[]", target=f"{good_path}?limit=x&y=1")
    for text in CONTENT_TYPES:
        given = (("content-type", text),) if text else ()
        yield sent(headers=(AUTHORIZED, key, *given))
    for one in (*BODIES, *bodies[1:]):
        yield sent(body=one)
    yield from map(sent, targets(path, good_path, parameters))
    for name in ("if-match", "if-none-match", "idempotency-key", "x-other"):
        for value in FIELD_VALUES:
            yield sent(headers=(AUTHORIZED, kind, (name, value)))
            yield sent(headers=(AUTHORIZED, kind, key, (name, value), (name, "last")))
    yield sent(headers=(AUTHORIZED, kind))
    for other in ("HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"):
        yield Sent(method=other, target=good_path, headers=(AUTHORIZED,))


def targets(path: str, good_path: str, parameters: list[dict[str, Any]]) -> Iterator[str]:
    for one in parameters:
        name = one["name"]
        if one["in"] == "query":
            for text in TEXTS:
                yield f"{good_path}?{name}={text}"
                yield f"{good_path}?{name}={text}&{name}=1&{name}={text}"
                yield f"{good_path}?{name}={text}&other=1"
        elif one["in"] == "path":
            for text in TEXTS:
                yield re.sub(r"\{\w+\}", text, path)
    for suffix in ("/", "//", "/x", "%0A", "%2F", "?", "?x", "?=", "?a=1&a=2", "?%00=1"):
        yield good_path + suffix


def bodies_of(content: dict[str, Any], schemas: dict[str, Any]) -> Iterator[bytes]:
    """Yield a valid body, then bodies with one value wrong, missing or added."""
    for kind in content.values():
        whole = good(kind["schema"], schemas)
        yield json.dumps(whole).encode()
        yield json.dumps({**whole, "other": 1}).encode()
        text = json.dumps(whole)
        yield f"{text[:-1]}, {text[1:]}".encode()
        for place in places(whole):
            yield json.dumps(changed(whole, place, ...)).encode()
            for value in WRONG_VALUES:
                yield json.dumps(changed(whole, place, value)).encode()
        return


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in inner:
        yield (key,)
        if isinstance(part, dict | list):
            yield from ((key, *rest) for rest in places(part))


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    key, *rest = place
    copy = dict(value) if isinstance(value, dict) else list(value)
    if rest:
        copy[key] = changed(copy[key], tuple(rest), new)
    elif new is ...:
        del copy[key]
    else:
        copy[key] = new
    return copy


def good(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Return a value that a schema allows."""
    if "$ref" in schema:
        return good(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            return good(schema[name][0], schemas)
    if "enum" in schema:
        return schema["enum"][0]
    made = {
        "object": lambda: {
            name: good(one, schemas) for name, one in schema.get("properties", {}).items()
        },
        "array": lambda: [good(schema["items"], schemas)],
        "integer": lambda: max(1, schema.get("minimum", 1)),
        "boolean": lambda: True,
        "string": lambda: good_text(schema),
    }
    return schema["const"] if "const" in schema else made[schema["type"]]()


def good_text(schema: dict[str, Any]) -> Any:
    if schema.get("format") in BY_FORMAT:
        return BY_FORMAT[schema["format"]]
    lengths = range(schema.get("minLength", 0), schema.get("maxLength", 10**6) + 1)
    wanted = re.compile(schema.get("pattern", ""))
    candidates = chain(schema.get("examples", ()), CANDIDATES)
    return next(text for text in candidates if len(text) in lengths and wanted.search(text))


def kind_of(outcome: Outcome) -> int:
    return outcome.status // 100


@pytest.mark.parametrize("service", ROUTERS)
def test_each_route_is_lean(service):
    """FastAPI serves what the compiled form does not know; see `chassis.http.lean.compiling`."""
    app = Form(ROUTERS[service], lean=True).app
    routes = [
        one for one in declared_routes(app.routes) if isinstance(one.original_route, APIRoute)
    ]
    served = {one.path: compiled(one) for one in routes}
    others = {path: form for path, form in served.items() if not isinstance(form, LeanRoute)}
    assert served
    assert not others


@pytest.mark.parametrize("service", ROUTERS)
async def test_each_request_has_the_same_outcome_in_both_forms(service):
    routers = [recording(router) for router in ROUTERS[service]]
    lean, own = Form(routers, lean=True), Form(routers, lean=False)
    for method, path, operation, schemas in operations(service):
        seen = set()
        for sent in requests(method, path, operation, schemas):
            outcome = await lean.outcome(sent)
            assert outcome == await own.outcome(sent), sent
            seen.add(kind_of(outcome))
        assert {2, 4} <= seen, f"{method} {path} was served and rejected"
