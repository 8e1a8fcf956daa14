"""Writes each chart's README.md, or checks that it is up to date: its values and what they mean.

``readmes.py [--check]``. The text is that of values.yaml: the comment above a value, or beside it.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from chassis.documents import write_or_check

HELM = Path("helm")
CHARTS = ("slipway", "slipway-infra", "gateway", "service", "slipway-lib")
LINE = re.compile(r"^( *)([A-Za-z][\w.-]*):(?: +(.*))?$")
HEAD = """\
# {name}

{description}. [docs/kubernetes.md](../../docs/kubernetes.md) describes the installation.

The values of `values.yaml`; `values.schema.json` rejects others. The READMEs of dependencies have
theirs.

| value | default | |
|---|---|---|
"""


def entries(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield path, default and description of each value that has one of the last two."""
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    skipped = -1  # deeper lines belong to a list that is part of a default
    for number, line in enumerate(lines):
        if not line.strip():
            comment = []
            continue
        if line.strip().startswith("#"):
            comment.append(line.strip("# "))
            continue
        match = LINE.match(line)
        indent = len(line) - len(line.lstrip())
        if match is None or (skipped >= 0 and indent > skipped):
            continue
        skipped = -1
        path = [each for each in path if each[0] < indent] + [(indent, match[2])]
        value, _, beside = (match[3] or "").partition(" # ")
        following = next((each for each in lines[number + 1 :] if each.strip()), "")
        if not value and following.strip().startswith("- "):
            value, skipped = "a list", indent
        text = " ".join([*comment, beside] if beside else comment)
        if value or text:
            yield ".".join(name for _, name in path), value.strip(), text
        comment = []


def code(value: str) -> str:
    """Return a default for a cell of a table."""
    return f"`{value}`" if value else ""


def escaped(text: str) -> str:
    """Return a text for a cell of a table, in which `<release>` would be an HTML tag."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def page(chart: str) -> str:
    """Return the README of a chart."""
    about = yaml.safe_load((HELM / chart / "Chart.yaml").read_text(encoding="utf-8"))
    lines = (HELM / chart / "values.yaml").read_text(encoding="utf-8").splitlines()
    rows = [
        f"| `{path}` | {code(value)} | {escaped(text)} |" for path, value, text in entries(lines)
    ]
    return HEAD.format(**about) + "\n".join(rows) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check each README; return the exit status."""
    return max(
        write_or_check(HELM / chart / "README.md", page(chart), arguments) for chart in CHARTS
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
