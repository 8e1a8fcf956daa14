"""Checks that the API server accepts each label of the renderings: ``check_labels.py FILE.yaml …``.

kubernetes-validate knows the types of labels and not their form. The pods of a server have no label
that changes with each chart: it would restart a server in which nothing has changed.
"""

import re
import sys
from collections.abc import Iterator

from rendering import resources_of

VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


def labels_of(value: object) -> Iterator[tuple[str, object]]:
    """Yield name and value of each label in a resource, at any depth."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name in {"labels", "matchLabels"} and isinstance(each, dict):
                yield from each.items()
            else:
                yield from labels_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from labels_of(each)


def main(files: list[str]) -> str | None:
    """Return what is wrong, or None."""
    for file in files:
        for document in resources_of(file):
            if document["kind"] == "StatefulSet":
                labels = document["spec"]["template"]["metadata"]["labels"]
                if "helm.sh/chart" in labels:
                    name = document["metadata"]["name"]
                    return f"{file}: the pods of {name} have the chart's version as a label."
            for name, value in labels_of(document):
                if not isinstance(value, str) or not VALUE.fullmatch(value):
                    return f"{file}: the API server rejects the label {name}: {value!r}."
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
