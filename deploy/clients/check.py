"""Fails unless a generated Python client is complete: ``check.py DOCUMENT DIRECTORY``.

The directory holds the package ``generated``, which openapi-python-client made of the document.
"""

import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def missing_in(document: dict[str, Any], package: ModuleType) -> Iterator[str]:
    """Return each schema, operation and result that the package lacks."""
    models = importlib.import_module(f"{package.__name__}.models")
    known = {_plain(name) for name in dir(models)}
    for name in document["components"]["schemas"]:
        if _plain(name) not in known:
            yield f"the schema {name}"
    found = {_plain(name.rpartition(".")[2]): name for name in _modules(package)}
    for operation in _operations(document):
        name = operation["operationId"]
        module = found.get(_plain(name))
        if module is None:
            yield f"the operation {name}"
            continue
        call = importlib.import_module(module).sync_detailed
        result = _plain(str(get_type_hints(call)["return"]))
        for schema in _schemas(operation):
            if _plain(schema) not in result:
                yield f"the result {schema} of {name}"


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        for method, operation in item.items():
            if method in METHODS:
                yield operation


def _schemas(operation: dict[str, Any]) -> Iterator[str]:
    """Return the schemas of an operation's JSON responses."""
    for answer in operation["responses"].values():
        schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]


def _modules(package: ModuleType) -> Iterator[str]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
        yield module.name


def _plain(name: str) -> str:
    """Return a name in a form that is the same for the spellings of both languages."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def main(arguments: list[str]) -> str | None:
    """Check the client; return the errors, for the exit status."""
    file, directory = (Path(argument) for argument in arguments)
    document = json.loads(file.read_text(encoding="utf-8"))
    sys.path.insert(0, str(directory))
    missing = list(missing_in(document, importlib.import_module("generated")))
    if missing:
        return f"{file}: a generated Python client lacks {'; '.join(missing)}"
    count = len(list(_operations(document)))
    schemas = len(document["components"]["schemas"])
    sys.stdout.write(f"{file}: a Python client of {count} operations and {schemas} schemas\n")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
