"""Writes the AsyncAPI document and its page, or checks that they are fresh.

``python -m chassis.messaging.asyncapi libs/contracts services docs [--check]``: topics, events,
schemas and examples are those of the contracts, whose package is named as the folder; each service
under the second folder that has a ``worker.py`` tells by its ``SUBSCRIPTIONS`` what it reads. The
document is written into the third folder, and beside the gateway's code, which serves it.
"""

import importlib
import json
import sys
from pathlib import Path

from chassis.documents import write_or_check
from chassis.messaging.asyncapi.document import Facts, Json, as_text, asyncapi_document
from chassis.messaging.asyncapi.page import page_of


def _json_files(directory: Path) -> dict[str, Json]:
    return {
        file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
        for file in sorted(directory.glob("*.json"))
    }


def facts_of(contracts: Path, services: Path) -> Facts:
    """Gather what the document is made of."""
    declared = importlib.import_module(contracts.name)
    workers = sorted(services.glob("*/src/*/worker.py"))
    names = [worker.parent.name for worker in workers]
    return Facts(
        title="Slipway's events",
        topics=declared.TOPICS,
        events=declared.EVENTS,
        schemas=_json_files(contracts / "schemas"),
        examples=_json_files(contracts / "examples"),
        subscriptions={
            name: importlib.import_module(f"{name}.worker").SUBSCRIPTIONS for name in names
        },
    )


def main(arguments: list[str]) -> int:
    """Write or check; answers the exit status."""
    contracts, services, docs = (Path(argument) for argument in arguments[:3])
    document = asyncapi_document(facts_of(contracts, services))
    texts = {
        docs / "asyncapi.json": as_text(document),
        services / "gateway" / "src" / "gateway" / "asyncapi.json": as_text(document),
        docs / "events.md": page_of(document),
    }
    return max(write_or_check(file, text, arguments) for file, text in texts.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
