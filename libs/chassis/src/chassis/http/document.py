"""Writes a service's ``openapi.json``, or checks that it is fresh.

``python -m chassis.http.document services/orders [--check]``: the app is made, nothing is opened.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import get_type_hints

from fastapi import FastAPI


def document_of(service: str) -> str:
    """Give the OpenAPI document of ``<service>.app.create_app``, as a JSON text."""
    create_app = importlib.import_module(f"{service}.app").create_app
    settings = get_type_hints(create_app)["settings"]
    app: FastAPI = create_app(settings.model_construct())
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check; answers the exit status."""
    directory = Path(arguments[0])
    file = directory / "openapi.json"
    document = document_of(directory.name)
    if "--check" not in arguments:
        file.write_text(document, encoding="utf-8")
        return 0
    if not file.exists() or file.read_text(encoding="utf-8") != document:
        print(f"{file} is stale: run `make documents`", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
