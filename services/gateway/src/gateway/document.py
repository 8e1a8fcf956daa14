"""Writes the merged ``openapi.json`` from the services' committed ones, or checks that it is fresh.

``python -m gateway.document services [--check]``; a running gateway merges what its services serve.
"""

import json
import sys
from pathlib import Path

from chassis.documents import write_or_check
from gateway.merging import merged
from gateway.routes import ROUTES, RouteTable


def main(arguments: list[str]) -> int:
    """Write or check; answers the exit status."""
    services = Path(arguments[0])
    table = RouteTable(ROUTES)
    names = dict.fromkeys(route.service for route in ROUTES)
    documents = {
        name: json.loads((services / name / "openapi.json").read_text(encoding="utf-8"))
        for name in names
    }
    text = json.dumps(merged(documents, table), indent=2, ensure_ascii=False) + "\n"
    return write_or_check(services / "gateway" / "openapi.json", text, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
