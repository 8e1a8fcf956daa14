"""The parts of the OpenAPI document that the chassis adds to every route: its own responses."""

from typing import Any

from fastapi import FastAPI

from chassis.http.documentation import Documentation, add_examples
from chassis.http.problems import Problem, problem_response
from chassis.wire_names import EVENT_STREAM, JSON, PROBLEM

CONVENTIONS = """\
**Requests.** JSON is UTF-8. A number in a path or a query is written as JSON writes it: `20`, not
`+20` or `2_0`. Of a query parameter that comes more than once and is no list, and of a name that
comes more than once in a JSON object, the last one counts.

**Methods.** `HEAD` is offered wherever `GET` is, with the same status and headers.

**Lists.** `next_cursor` leads to the next page, and so does the header `Link`. It holds the
parameters that the server understood, each once; where it would be over 8,000 bytes it is left out.
"""
"""Rules for every operation, added to the document's description."""

_ALWAYS = {
    "503": "A system that this needs is unavailable, or the request timed out "
    "(`deadline-exceeded`): see `Retry-After`."
}
_WITH_BODY = {
    "400": "`malformed-request`: the body can't be read.",
    "413": "The body is larger than 1 MiB.",
    "415": "The body has another content type, or a Content-Encoding.",
}
_WITH_INPUT = {"422": "`validation-failed`: `errors` name the fields."}
_LOCATION = {
    "description": "Where the new resource is.",
    "schema": {"type": "string", "format": "uri-reference"},
}
_SECURED = {
    "401": "`unauthenticated`: the access token is missing or not valid.",
    "403": "`insufficient-scope`: the token lacks a scope.",
}


def describe(app: FastAPI, documentation: Documentation | None = None) -> None:
    """Complete the app's document.

    It gets conventions, the problems of every route, `Location` of 201, and an explicit empty
    `security` where no token is required.

    Args:
        app: its document is changed when it is generated.
        documentation: adds descriptions of tags, and examples; None adds neither.
    """
    generate = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            info = document["info"]
            info["description"] = "\n\n".join(
                [*filter(None, [info.get("description")]), CONVENTIONS]
            )
            _add_problem_schema(document)
            for operations in document.get("paths", {}).values():
                for operation in operations.values():
                    _add_problems(operation)
                    _describe_ids(operation)
                    # Without it, a tool can't tell a public operation from a forgotten one.
                    operation.setdefault("security", [])
            if documentation is not None:
                document["tags"] = [
                    {"name": name, "description": description}
                    for name, description in documentation.tags.items()
                ]
                add_examples(document, documentation.examples)
        return app.openapi_schema or {}

    app.openapi = complete  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _add_problem_schema(document: dict[str, Any]) -> None:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(schema.pop("$defs", {}))
    schemas["Problem"] = schema
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)


def _describe_ids(operation: dict[str, Any]) -> None:
    """Describe the ids in the path, whose names say all that there is to say."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and parameter["name"].endswith("_id"):
            thing = parameter["name"].removesuffix("_id").replace("_", " ")
            parameter.setdefault("description", f"The id of the {thing}.")


def _add_problems(operation: dict[str, Any]) -> None:
    created = operation["responses"].get("201")
    if created is not None:
        created.setdefault("headers", {}).setdefault("Location", _LOCATION)
    responses = operation["responses"]
    _keep_stream(responses.get("200", {}).get("content", {}))
    answers = dict(_ALWAYS)
    has_body = "requestBody" in operation
    if has_body:
        answers |= _WITH_BODY
    # FastAPI documents a 422 if it validates; a route that reads its own body has none.
    if "422" in responses and (has_body or operation.get("parameters")):
        answers |= _WITH_INPUT
    if operation.get("security"):
        answers |= _SECURED
    for status, description in answers.items():
        if status == "422" and _is_frameworks(responses.get(status)):
            del responses[status]
        if status not in responses:
            responses[status] = problem_response(description)
        elif PROBLEM in responses[status].get("content", {}):
            responses[status]["description"] += f" {description}"


def _keep_stream(content: dict[str, Any]) -> None:
    """Remove the JSON that FastAPI documents, too, where an endpoint returns a stream of events."""
    if EVENT_STREAM in content:
        content.pop(JSON, None)


def _is_frameworks(response: dict[str, Any] | None) -> bool:
    return response is not None and "application/json" in response.get("content", {})
