"""Writes the manifests for kubectl alone from what Helm renders, or checks that they are fresh.

``manifests.py HELM [--check]``. What only Helm can do is taken out: hooks become plain resources,
and the test is left out. A job can't be changed once it exists, so its name carries a hash of what
it does: new images, a new job.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

import yaml
from rendering import rendered_by

from chassis.documents import write_or_check

TOP = Path("deploy/kubernetes/kubectl")
HEAD = "# Rendered from helm/{chart}: change the chart, then run make documents.\n"
ARGUMENTS = {
    "slipway-infra": [
        "--set",
        "postgres.existingSecret=slipway-infra-postgres,valkey.existingSecret=slipway-infra-valkey",
    ],
    "slipway": ["--set", "global.publicUrl=https://shop.example.com"],
}
HASH_LENGTH = 8


def rendered(helm: str, chart: str) -> list[dict[str, Any]]:
    """Return what Helm renders."""
    command = [helm, "template", chart, f"helm/{chart}", "--kube-version", "1.34.0"]
    return rendered_by([*command, *ARGUMENTS[chart]])


def plain(resource: dict[str, Any]) -> dict[str, Any] | None:
    """Return a resource without what belongs to Helm; None for its test."""
    metadata = resource["metadata"]
    annotations = metadata.get("annotations", {})
    if annotations.get("helm.sh/hook") == "test":
        return None
    kept = {name: text for name, text in annotations.items() if not name.startswith("helm.sh/")}
    metadata.pop("annotations", None)
    if kept:
        metadata["annotations"] = kept
    for labels in (metadata["labels"], *_pod_labels(resource)):
        labels.pop("helm.sh/chart", None)
        if "app.kubernetes.io/managed-by" in labels:
            labels["app.kubernetes.io/managed-by"] = "kubectl"
    if resource["kind"] == "Job":
        text = yaml.safe_dump(resource["spec"])
        metadata["name"] += f"-{hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]}"
        resource["spec"]["ttlSecondsAfterFinished"] = 24 * 3600
    return resource


def _pod_labels(resource: dict[str, Any]) -> list[dict[str, str]]:
    template = resource.get("spec", {}).get("template", {})
    return [template["metadata"]["labels"]] if "metadata" in template else []


def main(helm: str, *arguments: str) -> int:
    """Write or check the manifests of both charts; return the exit status."""
    status = 0
    for chart in ARGUMENTS:
        resources = [each for each in map(plain, rendered(helm, chart)) if each]
        text = HEAD.format(chart=chart) + yaml.safe_dump_all(resources, sort_keys=False, width=120)
        status |= write_or_check(TOP / chart / "manifests.yaml", text, arguments)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
