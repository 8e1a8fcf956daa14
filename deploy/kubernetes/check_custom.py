"""Validates the custom resources in renderings against their operators' schemas, and removes them.

kubernetes-validate knows only what Kubernetes has. ``check_custom.py FILE.yaml …``. The schemas are
the CRDs of the operators' own releases, which the Go module proxy has; like the API server in
strict mode, this rejects a field that the schema does not define.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from rendering import resources_of

NATIVE = {
    "apps", "autoscaling", "batch", "networking.k8s.io", "policy", "rbac.authorization.k8s.io",
}  # fmt: skip
CRDS = {
    "gateway.networking.k8s.io": (
        "sigs.k8s.io/gateway-api@v1.6.3",
        "config/crd/standard/gateway.networking.k8s.io_{plural}.yaml",
    ),
    "keda.sh": ("github.com/kedacore/keda/v2@v2.18.0", "config/crd/bases/keda.sh_{plural}.yaml"),
    "postgresql.cnpg.io": (
        "github.com/cloudnative-pg/cloudnative-pg@v1.27.0",
        "config/crd/bases/postgresql.cnpg.io_{plural}.yaml",
    ),
    "monitoring.coreos.com": (
        "github.com/prometheus-operator/prometheus-operator@v0.92.1",
        "example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml",
    ),
    "external-secrets.io": (
        "github.com/external-secrets/external-secrets@v0.16.2",
        "config/crds/bases/external-secrets.io_{plural}.yaml",
    ),
    "argoproj.io": ("github.com/argoproj/argo-cd/v3@v3.1.0", "manifests/crds/{kind}-crd.yaml"),
    "helm.toolkit.fluxcd.io": (
        "github.com/fluxcd/helm-controller@v1.4.0",
        "config/crd/bases/helm.toolkit.fluxcd.io_{plural}.yaml",
    ),
    "source.toolkit.fluxcd.io": (
        "github.com/fluxcd/source-controller@v1.7.0",
        "config/crd/bases/source.toolkit.fluxcd.io_{plural}.yaml",
    ),
}
# Strimzi is written in Java: no Go module has its CRDs. check_strimzi.py checks topics and users.
UNKNOWN = {"kafka.strimzi.io"}


@cache
def module(name: str) -> Path:
    """Return the directory of a Go module; download it if it is missing."""
    command = ["go", "mod", "download", "-json", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - fixed arguments
    return Path(json.loads(done.stdout)["Dir"])


def plural(kind: str) -> str:
    """Return the name of a kind's resources in the API."""
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def definition(group: str, kind: str) -> Path:
    """Return the file of a kind's CRD."""
    name, place = CRDS[group]
    return module(name) / place.format(plural=plural(kind), kind=kind.lower())


@cache
def validator(group: str, version: str, kind: str) -> Draft202012Validator:
    """Return the validator of a kind."""
    crd = yaml.safe_load(definition(group, kind).read_text(encoding="utf-8"))
    [schema] = [
        each["schema"]["openAPIV3Schema"]
        for each in crd["spec"]["versions"]
        if each["name"] == version and each["served"]
    ]
    return Draft202012Validator(strict(schema))


def strict(schema: Any) -> Any:  # noqa: ANN401 - JSON Schema
    """Return a schema that rejects unknown fields, where the API server would prune them."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {name: strict(each) for name, each in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        copy.pop("type", None)
    open_object = "additionalProperties" in schema or schema.get(
        "x-kubernetes-preserve-unknown-fields"
    )
    if (
        isinstance(schema.get("properties"), dict)
        and schema.get("type") == "object"
        and not open_object
    ):
        copy["additionalProperties"] = False
    return copy


def check(resource: dict[str, Any], file: str) -> None:
    """Exit with the reason if the operator's CRD rejects a resource."""
    group, _, version = resource["apiVersion"].rpartition("/")
    if group not in CRDS:
        sys.exit(f"{file}: no schema of {resource['apiVersion']} is known. Add its CRD to CRDS.")
    # The CRD says only that metadata is an object.
    bare = {**resource, "metadata": {}}
    for error in validator(group, version, resource["kind"]).iter_errors(bare):
        place = "/".join(str(part) for part in error.absolute_path)
        sys.exit(
            f"{file}: {resource['kind']} {resource['metadata']['name']}: {place}: {error.message}"
        )


def main(files: list[str]) -> None:
    """Check each file, and keep what Kubernetes itself knows, each resource once.

    Most renderings have most resources in common, and the checks that follow take minutes.
    """
    checked = skipped = 0
    seen: set[str] = set()
    for file in files:
        path = Path(file)
        native = []
        for resource in resources_of(path):
            group = resource["apiVersion"].rpartition("/")[0]
            if group in NATIVE or not group:
                text = json.dumps(resource, sort_keys=True)
                if text not in seen:
                    native.append(resource)
                seen.add(text)
            elif group in UNKNOWN:
                skipped += 1
            else:
                check(resource, path.name)
                checked += 1
        path.write_text(yaml.safe_dump_all(native, sort_keys=False), encoding="utf-8")
    if not checked:
        sys.exit("No rendering has a custom resource, so nothing was checked. Render one.")
    summary = f"{checked} valid by their CRDs, {skipped} of Strimzi not validated here"
    sys.stdout.write(f"custom resources: {summary}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
