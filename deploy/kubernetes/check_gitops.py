"""Checks what the examples for Argo CD and Flux render: ``check_gitops.py HELM``.

Each image of ours comes from where the release pushes it: beside the charts. Argo CD renders often,
and without the cluster: what each rendering generates anew must be left as it is in the cluster.
"""

import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from rendering import Resource, rendered_by, resources_of

EXAMPLES = Path("deploy/gitops")
IN_CHARTS = "/charts"


def rendered(
    helm: str, chart: str, values: dict[str, Any], files: Iterable[str] = ()
) -> list[Resource]:
    """Return what Helm renders of a chart as a release of the same name."""
    command = [helm, "template", chart, f"helm/{chart}", "--kube-version", "1.34.0"]
    for file in files:
        command += ["--values", f"helm/{chart}/{file}"]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as own:
        own.write(yaml.safe_dump(values))
        own.flush()
        command += ["--values", own.name]
        return rendered_by(command)


def images(value: object) -> Iterator[str]:
    """Yield the image of each container in a resource."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "image" and isinstance(each, str):
                yield each
            else:
                yield from images(each)
    elif isinstance(value, list):
        for each in value:
            yield from images(each)


def check_images(resources: Iterable[Resource], charts: str) -> None:
    """Exit with the name of an image of ours that is not beside the charts."""
    place = charts.removeprefix("oci://").partition(IN_CHARTS)[0]
    for each in images(list(resources)):
        if "slipway/" in each and not each.startswith(f"{place}/"):
            sys.exit(f"An example has the image {each}, but the release pushes to {place}/.")


def check_argocd(helm: str) -> None:
    """Check the example for Argo CD."""
    application = _only("argocd")["spec"]["template"]["spec"]
    source = application["source"]
    values = source["helm"]["valuesObject"]
    values["global"]["publicUrl"] = "https://shop.example.com"
    kept = {(each["kind"], each["name"]) for each in application.get("ignoreDifferences", ())}
    options = application["syncPolicy"]["syncOptions"]
    if "RespectIgnoreDifferences=true" not in options:
        sys.exit(f"Argo CD would overwrite what it ignores: its options are {options}.")
    for chart in ("slipway", "slipway-infra"):
        first, second = (
            rendered(helm, chart, values, source["helm"]["valueFiles"]) for _ in range(2)
        )
        check_images(first, source["repoURL"])
        changed = {
            (one["kind"], one["metadata"]["name"])
            for one, other in zip(first, second, strict=True)
            if one != other
        }
        if changed - kept:
            sys.exit(
                f"Each sync of Argo CD would change {changed - kept}, and no difference is ignored."
            )


def check_flux(helm: str) -> None:
    """Check the example for Flux."""
    resources = resources_of(EXAMPLES / "flux/slipway.yaml")
    places = {
        each["metadata"]["name"]: each["spec"]["url"]
        for each in resources
        if each["kind"] == "OCIRepository"
    }
    for each in resources:
        if each["kind"] == "HelmRelease":
            chart = each["spec"]["chartRef"]["name"]
            values = each["spec"].get("values", {})
            check_images(rendered(helm, chart, values), places[chart])


def _only(folder: str) -> Resource:
    [file] = (EXAMPLES / folder).glob("*.yaml")
    resource: Resource = yaml.safe_load(file.read_text("utf-8"))
    return resource


if __name__ == "__main__":
    check_argocd(sys.argv[1])
    check_flux(sys.argv[1])
