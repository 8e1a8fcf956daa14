"""Writes a service's ``openapi.json``, or checks that it is fresh.

``python -m chassis.http.document services/orders [--check]``: the app is made, nothing is opened.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import get_type_hints

from fastapi import FastAPI

from chassis.documents import write_or_check


def document_of(service: str) -> str:
    """Give the OpenAPI document of ``<service>.app.create_app``, as a JSON text."""
    create_app = importlib.import_module(f"{service}.app").create_app
    settings = get_type_hints(create_app)["settings"]
    app: FastAPI = create_app(settings.model_construct())
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check; answers the exit status."""
    directory = Path(arguments[0])
    return write_or_check(directory / "openapi.json", document_of(directory.name), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
