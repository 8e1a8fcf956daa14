"""What the checks of the charts share: how Helm renders, and how its resources are read."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

type Resource = dict[str, Any]


def rendered_by(command: Sequence[str]) -> list[Resource]:
    """Return what a call of `helm template` renders."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - fixed arguments
    return _resources(done.stdout)


def resources_of(file: str | Path) -> list[Resource]:
    """Return the resources in a file."""
    return _resources(Path(file).read_text(encoding="utf-8"))


def _resources(text: str) -> list[Resource]:
    return [one for one in yaml.safe_load_all(text) if one]  # a template may render to nothing
