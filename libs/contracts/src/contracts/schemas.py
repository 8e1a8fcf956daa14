"""Writes the JSON Schema of each event, and rejects an incompatible change of a committed one.

``python -m contracts.schemas [--check] [--against REF]``: the committed files are the baseline;
``--against`` also compares with those of a git revision, to review the changes of a branch.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema

from contracts import EVENTS
from contracts.base import Event
from contracts.compatibility import Break, Rule, Schema, find_breaks

DIRECTORY = Path(__file__).parents[2] / "schemas"


class _WithoutFieldTitles(GenerateJsonSchema):
    """Omits the titles of fields, which only repeat the fields' names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401  # Pydantic's own
        del schema
        return False


def schema_of(event: type[Event]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of an event's data, which consumers may rely on.

    Args:
        event: the event's class.
    """
    mode: Literal["validation"] = "validation"
    schema = event.model_json_schema(mode=mode, schema_generator=_WithoutFieldTitles)
    head = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": event.type,
        "x-topic": event.topic.name,
    }
    return head | {name: part for name, part in schema.items() if name not in head}


def schemas_in(directory: Path) -> dict[str, Schema]:
    """Return the committed schemas, by type."""
    return {
        file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
        for file in sorted(directory.glob("*.json"))
    }


def schemas_at(revision: str, directory: Path) -> dict[str, Schema]:
    """Return the schemas of a git revision, by type; empty if it has no such folder.

    Raises:
        subprocess.CalledProcessError: there is no such revision.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(directory), *arguments]
        return subprocess.check_output(command, text=True)  # noqa: S603  # the revision is one argument

    names = git("ls-tree", "--name-only", revision, "./").splitlines()
    return {
        name.removesuffix(".json"): json.loads(git("show", f"{revision}:./{name}"))
        for name in names
        if name.endswith(".json")
    }


def compare(
    baseline: Mapping[str, Schema], events: Iterable[type[Event]]
) -> dict[str, list[Break]]:
    """Return the incompatible changes between the baseline and the models, by type."""
    present = {event.type: schema_of(event) for event in events}
    removed = Break(rule=Rule.EVENT_REMOVED, place="$", detail="no model has this type")
    found = {
        kind: find_breaks(old, present[kind]) if kind in present else [removed]
        for kind, old in baseline.items()
    }
    return {kind: breaks for kind, breaks in found.items() if breaks}


def main(
    arguments: Sequence[str], *, directory: Path = DIRECTORY, events: Sequence[type[Event]] = EVENTS
) -> int:
    """Write or check the schemas; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m contracts.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--against", metavar="REF", help="a git revision to compare with as well")
    options = parser.parse_args(arguments)

    committed = schemas_in(directory)
    broken = compare(committed, events)
    if options.against:
        broken = compare(schemas_at(options.against, directory), events) | broken
    for kind, breaks in broken.items():
        for each in breaks:
            _say(f"{kind}: {each}")
    if broken:
        _say(
            "Nothing was written. Declare a new version beside the old one (order.placed.v2), and "
            "publish both until no consumer needs the old one: docs/guides/events.md says how."
        )
        return 1
    texts = {event.type: _text(schema_of(event)) for event in events}
    if options.check:
        stale = [kind for kind, text in texts.items() if _read(directory / f"{kind}.json") != text]
        for kind in stale:
            _say(f"{directory / kind}.json is stale: run `make documents`")
        return 1 if stale else 0
    for kind, text in texts.items():
        (directory / f"{kind}.json").write_text(text, encoding="utf-8")
    return 0


def _text(schema: Schema) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
