"""Writes the generated parts of the charts' values.schema.json, or checks that they are up to date.

``schemas.py [--check]``. Helm reads one schema a chart, which can't refer to another file. So the
definitions that charts share are kept once, in ``helm/slipway-lib/definitions.json``, and copied
into each schema that uses them. The settings are those of the processes' settings classes: a chart
rejects a setting that no process reads, a value that its process would reject, and a secret, since
settings become a ConfigMap.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings

from chassis.documents import write_or_check
from chassis.service import installed_services
from gateway.settings import GatewaySettings

HELM = Path("helm")
CHARTS = ("gateway", "service", "slipway", "slipway-infra", "slipway-lib")
# The chart decides them: another value would not match its probes, ports or mounts.
DECIDED = {
    "environment", "host", "port", "internal_host", "internal_port", "secrets_directory",
    "auth_jwks_file", "auth_signing_keys_file", "kafka_bootstrap_servers",
}  # fmt: skip
# Secrets by type, but of use without a password, which a file holds.
WITHOUT_PASSWORD = {"database_url", "database_direct_url"}
NO_PASSWORD = {
    "type": "string",
    "pattern": "^postgresql://[^:@/\\s]+@[^@\\s]+$",
    "description": "Without a password: the Secret has it.",
}
KEPT = ("type", "enum", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
KEPT_TEXT = ("minLength", "maxLength")


def settings_schema(classes: Iterable[type[BaseSettings]]) -> dict[str, Any]:
    """Return the schema of a chart's ``settings``: what these classes read, without secrets."""
    properties: dict[str, Any] = {}
    for kind in classes:
        schema = kind.model_json_schema()
        for name, each in schema["properties"].items():
            if name in DECIDED or (name.endswith("_url") and kind is GatewaySettings):
                continue
            if name in WITHOUT_PASSWORD:
                properties[name.upper()] = NO_PASSWORD
            elif (value := _value(each, schema.get("$defs", {}))) is not None:
                properties[name.upper()] = value
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": dict(sorted(properties.items())),
    }


def _value(each: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any] | None:
    """Return the schema of one setting as values have it; None if it is a secret."""
    options = [one for one in each.get("anyOf", [each]) if one.get("type") != "null"]
    options = [
        definitions[one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in options
    ]
    [option, *more] = options
    if option.get("writeOnly") or option.get("format") == "password":
        return None
    if more or option.get("type") in {"array", "object"}:
        return {"type": "string"}  # a list is written with commas
    kept = {name: option[name] for name in KEPT if name in option}
    if option.get("type") == "string" and "enum" not in option:
        kept |= {name: option[name] for name in KEPT_TEXT if name in option}
    return kept


def references(value: object) -> set[str]:
    """Return the names of the definitions that a schema refers to."""
    if isinstance(value, dict):
        own = {value["$ref"].rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(each) for each in value.values()))
    if isinstance(value, list):
        return set().union(*(references(each) for each in value))
    return set()


def completed(chart: str, shared: dict[str, Any], settings: dict[str, Any]) -> str:
    """Return the chart's schema with the definitions that it uses."""
    schema = json.loads((HELM / chart / "values.schema.json").read_text(encoding="utf-8"))
    known = shared | ({"settings": settings} if settings else {})
    own = {name: each for name, each in schema.pop("$defs", {}).items() if name not in known}
    needed: dict[str, Any] = {}
    waiting = references(schema) | references(own)
    while waiting - needed.keys() - own.keys():
        name = min(waiting - needed.keys() - own.keys())
        needed[name] = known[name]
        waiting |= references(known[name])
    schema["$defs"] = own | dict(sorted(needed.items()))
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check each schema; return the exit status."""
    shared = json.loads((HELM / "slipway-lib" / "definitions.json").read_text(encoding="utf-8"))
    services = [each.api.settings for each in installed_services()]
    settings = {"gateway": settings_schema([GatewaySettings]), "service": settings_schema(services)}
    status = 0
    for chart in CHARTS:
        text = completed(chart, shared, settings.get(chart, {}))
        status |= write_or_check(HELM / chart / "values.schema.json", text, arguments)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
