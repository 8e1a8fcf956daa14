"""The API as its document describes it: it checks each request, and returns a sample response."""

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
from jsonschema import Draft202012Validator

DOCUMENT = Path(__file__).parents[3] / "services" / "gateway" / "openapi.json"
SAMPLES = {
    "uuid": "01990000-0000-7000-8000-000000000001",
    "date-time": "2026-01-02T03:04:05Z",
}
_PLAIN: dict[str | None, Any] = {
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
    None: {},
}


class Document:
    """The OpenAPI document of the gateway."""

    @cached_property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
        return content

    @cached_property
    def operations(self) -> dict[str, tuple[str, re.Pattern[str], dict[str, Any]]]:
        """Method, pattern of the path, and description of each operation, by its id."""
        return {
            operation["operationId"]: (
                method.upper(),
                re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)),
                operation,
            )
            for path, methods in self.content["paths"].items()
            for method, operation in methods.items()
        }

    def schema(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.content["components"]["schemas"][name]
        return found

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            return self.schema(schema["$ref"].rpartition("/")[2])
        return schema

    def check(self, value: object, schema: dict[str, Any]) -> None:
        whole = {**schema, "components": self.content["components"]}
        validator = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
        errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
        assert not errors, errors

    def sample(  # one return for each kind of schema
        self, schema: dict[str, Any], *, newer: bool = False
    ) -> Any:
        """Return a value that fits a schema, with all members that are required.

        With `newer`, each object has all members, and one that a newer server has added.
        """
        schema = self.resolved(schema)
        if "anyOf" in schema:
            return self.sample(schema["anyOf"][0], newer=newer)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        kind = schema.get("type")
        if kind == "object":
            properties = schema.get("properties", {})
            names = properties if newer else schema.get("required", [])
            members = {name: self.sample(properties[name], newer=newer) for name in names}
            return members | {"added": 1} if newer and properties else members
        if kind == "array":
            return [self.sample(schema["items"], newer=newer)]
        return _PLAIN[kind] if kind != "string" else SAMPLES.get(schema.get("format", ""), "text")


class DocumentedApi(httpx.AsyncBaseTransport):
    """Returns a sample for each request, or fails the test if the document does not allow it.

    Attributes:
        called: the ids of the operations that were called.
        headers: those of the last request.
        body: the body of the last request that had one.
        answers: members that replace those of the samples, by the id of the operation.
        newer: whether responses have members that the document does not name.
    """

    def __init__(self) -> None:
        self.document = Document()
        self.called: list[str] = []
        self.headers: httpx.Headers = httpx.Headers()
        self.body: Any = None
        self.answers: dict[str, dict[str, Any]] = {}
        self.newer = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        operation = self._operation(request)
        self.called.append(operation["operationId"])
        self.headers = request.headers
        self._check_parameters(request, operation)
        self._check_body(request, operation)
        status, described = next(
            (status, described)
            for status, described in operation["responses"].items()
            if status.startswith("2")
        )
        content = described.get("content", {}).get("application/json")
        if content is None:
            return httpx.Response(int(status))
        body = self.document.sample(content["schema"], newer=self.newer)
        return httpx.Response(
            int(status), json=body | self.answers.get(operation["operationId"], {})
        )

    def _operation(self, request: httpx.Request) -> dict[str, Any]:
        # A path without parameters precedes one with them: /orders/transitions.
        fitting = [
            (pattern.pattern.count("[^/]+"), operation)
            for method, pattern, operation in self.document.operations.values()
            if method == request.method and pattern.fullmatch(request.url.path)
        ]
        assert fitting, f"the document has no {request.method} {request.url.path}"
        return min(fitting, key=lambda one: one[0])[1]

    def _check_parameters(self, request: httpx.Request, operation: dict[str, Any]) -> None:
        known = {one["name"].lower(): one for one in operation.get("parameters", [])}
        for name, one in known.items():
            if one["in"] == "header" and one["required"]:
                assert name in request.headers, name
        for name in ("idempotency-key", "if-match"):
            assert name not in request.headers or name in known, f"{name} is not accepted"
        for name, text in parse_qsl(request.url.query.decode(), keep_blank_values=True):
            assert name in known, f"{name} is not a parameter"
            self.document.check(_value(text), known[name]["schema"])

    def _check_body(self, request: httpx.Request, operation: dict[str, Any]) -> None:
        content = operation.get("requestBody", {}).get("content", {})
        if not request.content:
            required = operation.get("requestBody", {}).get("required", False)
            assert not required, "the operation needs a body"
            return
        media_type = request.headers["Content-Type"]
        assert media_type in content, f"{media_type} is not accepted"
        text = request.content.decode()
        is_form = media_type == "application/x-www-form-urlencoded"
        self.body = dict(parse_qsl(text)) if is_form else json.loads(text)
        self.document.check(self.body, content[media_type]["schema"])


def _value(text: str) -> object:
    """Return a parameter's value in the type that its text looks like."""
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if text.isdigit() else text
