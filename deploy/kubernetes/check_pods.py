"""Checks that all pods have what `global.pods` gives to all: ``check_pods.py RENDERED.yaml``.

The rendering has a label, an annotation, a variable, a volume and its mount, each named as below.
"""

import sys
from collections.abc import Iterator
from typing import Any

from rendering import resources_of

LABEL, ANNOTATION, VARIABLE, VOLUME = "team", "example.com/scrape", "EXTRA", "extra"
TEMPLATES = {"Deployment", "Job", "StatefulSet"}


def lacking(pod: dict[str, Any]) -> Iterator[str]:
    """Yield what a pod lacks."""
    for kind, name in (("labels", LABEL), ("annotations", ANNOTATION)):
        if name not in pod["metadata"].get(kind, {}):
            yield f"the one of {kind}"
    spec = pod["spec"]
    if VOLUME not in {each["name"] for each in spec["volumes"]}:
        yield "the volume"
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        if VARIABLE not in {each["name"] for each in container.get("env", ())}:
            yield f"the variable in {container['name']}"
        if VOLUME not in {each["name"] for each in container["volumeMounts"]}:
            yield f"the mount in {container['name']}"


def main(file: str) -> str | None:
    """Return what is wrong, or None."""
    for one in resources_of(file):
        if one["kind"] in {"Pod", *TEMPLATES}:
            pod = one["spec"]["template"] if one["kind"] in TEMPLATES else one
            if missing := ", ".join(lacking(pod)):
                return f"{one['kind']} {one['metadata']['name']} lacks of global.pods: {missing}."
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
