"""Has the API server validate what needs operators, without them: ``dry_run.py NAMESPACE FILE …``.

It creates the CRDs that the renderings need and the cluster lacks, applies the files without an
effect (``--dry-run=server``), and deletes those CRDs again. Unlike check_custom.py, this includes
defaults, the rules of CRDs in CEL, and the admission of the cluster. A warning is an error.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from check_custom import CRDS, UNKNOWN, definition, plural

ESTABLISHED = '{.status.conditions[?(@.type=="Established")].status}=True'


def kubectl(*arguments: str, text: str | None = None) -> None:
    """Run kubectl; exit with what it says if it fails."""
    command = ["kubectl", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, input=text)  # noqa: PLW1510, S603 - the status is looked at; fixed arguments
    if done.returncode:
        sys.exit(f"dry_run.py: {' '.join(command)}: {done.stderr}")


def group_of(resource: dict[str, Any]) -> str:
    """Return the API group; empty for the core's."""
    return str(resource["apiVersion"].rpartition("/")[0])


def definitions(resources: list[dict[str, Any]]) -> dict[str, Path]:
    """Return the files of the CRDs of resources, by the CRDs' names."""
    kinds = {(group_of(each), each["kind"]) for each in resources}
    return {
        f"{plural(kind)}.{group}": definition(group, kind) for group, kind in kinds if group in CRDS
    }


def is_known(crd: str) -> bool:
    """Return whether the cluster has a CRD."""
    command = ["kubectl", "get", "crd", crd]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603 - fixed arguments


def main(namespace: str, files: list[str]) -> None:
    """Dry-run all files."""
    texts = {name: Path(name).read_text(encoding="utf-8") for name in files}
    resources = {
        name: [
            each
            for each in yaml.safe_load_all(text)
            if each and group_of(each) not in UNKNOWN  # no Go module has Strimzi's CRDs
        ]
        for name, text in texts.items()
    }
    wanted = definitions([each for some in resources.values() for each in some])
    if not wanted:
        sys.exit("dry_run.py: no rendering has a custom resource. Render one.")
    missing = {crd: file for crd, file in wanted.items() if not is_known(crd)}
    try:
        for file in missing.values():
            kubectl("create", "--filename", str(file))
        for crd in missing:
            # `--for=condition` fails while the new CRD has no conditions at all.
            kubectl("wait", f"crd/{crd}", f"--for=jsonpath={ESTABLISHED}", "--timeout=60s")
        for some in resources.values():
            for each in some:
                each["metadata"]["namespace"] = namespace  # Argo CD's need not be there
            kubectl(
                "apply", "--namespace", namespace, "--dry-run=server", "--validate=strict",
                "--warnings-as-errors", "--filename", "-", text=yaml.safe_dump_all(some),
            )  # fmt: skip
    finally:
        for crd in missing:
            kubectl("delete", "crd", crd, "--ignore-not-found")
    count = sum(len(some) for some in resources.values())
    sys.stdout.write(
        f"the API server accepts {count} resources, {len(wanted)} kinds by their CRDs\n"
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
