"""Write the merged ``openapi.json`` from the services' committed ones, or check that it is fresh.

``python -m gateway.document services [--check]``. It also writes ``schema.graphql``, and
``methods.json``, which the gateway reads at start (`gateway.methods`). A running gateway does not
read the merged file: it merges the documents that its services serve.
"""

import json
import sys
from pathlib import Path

from chassis.documents import write_or_check
from gateway.graph.schema import schema_text
from gateway.merging import merged
from gateway.methods import METHODS_FILE, offered_methods
from gateway.routes import ROUTES, RouteTable


def main(arguments: list[str]) -> int:
    """Write or check the files, and return the exit status."""
    services = Path(arguments[0])
    table = RouteTable(ROUTES)
    names = dict.fromkeys(route.service for route in ROUTES)
    documents = {
        name: json.loads((services / name / "openapi.json").read_text(encoding="utf-8"))
        for name in names
    }
    whole = merged(documents, table)
    files = {
        services / "gateway" / "openapi.json": _text(whole),
        METHODS_FILE: _text(offered_methods(whole["paths"])),
        services / "gateway" / "schema.graphql": schema_text(),
    }
    return max(write_or_check(file, text, arguments) for file, text in files.items())


def _text(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
