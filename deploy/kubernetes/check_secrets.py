"""Checks that the rendered processes read their secrets from files that the kubelet renews.

A secret in the environment, or a file mounted by subPath, never changes after the pod has started.
After a change of the password PostgreSQL would reject every new connection. Usage:
``check_secrets.py FILE.yaml …``.
"""

import sys
from typing import Any

from rendering import resources_of

from chassis.installed import service_names

DIRECTORY = "/var/lib/slipway/secrets"
DATABASE = {"database_password"}
PROCESSES = {process for name in service_names() for process in (name, f"{name}-worker")}
# The secrets that each process needs there, by the end of the Deployment's name.
WANTED = {"gateway": {"valkey_password"}, **dict.fromkeys(PROCESSES, DATABASE)}
STRIMZI = {"kafka_sasl_password"}


def check(deployment: dict[str, Any], settings: dict[str, dict[str, str]]) -> None:
    """Exit with the reason if a process would not see a change of its secrets."""
    name = deployment["metadata"]["name"]
    short = name.removeprefix("slipway-")
    if short not in WANTED:
        return  # a server for development
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    for variable in container.get("env", ()):
        if "secretKeyRef" in variable.get("valueFrom", {}):
            sys.exit(
                f"{name} reads {variable['name']} from its environment. Mount the Secret as a file."
            )
    own = settings[container["envFrom"][0]["configMapRef"]["name"]]
    for setting in ("DATABASE_URL", "VALKEY_URL"):
        if "$(" in own.get(setting, "") or ":@" in own.get(setting, ""):
            sys.exit(f"{name} has a password in {setting}. Move it to a Secret.")
    if own["SECRETS_DIRECTORY"] != DIRECTORY:
        sys.exit(f"{name} has SECRETS_DIRECTORY={own['SECRETS_DIRECTORY']}. Set it to {DIRECTORY}.")
    mounts = [mount for mount in container["volumeMounts"] if mount["mountPath"] == DIRECTORY]
    if not mounts or "subPath" in mounts[0] or not mounts[0]["readOnly"]:
        sys.exit(f"{name} must mount {DIRECTORY} read-only and without subPath. It has: {mounts}")
    [volume] = [one for one in pod["volumes"] if one["name"] == mounts[0]["name"]]
    items = [one for source in volume["projected"]["sources"] for one in source["secret"]["items"]]
    found = {item["path"] for item in items}
    wanted = WANTED[short] | (STRIMZI if "KAFKA_SASL_USERNAME" in own else set())
    if missing := wanted - found:
        sys.exit(f"{name} lacks the secrets {', '.join(sorted(missing))}. It has: {sorted(found)}")


def main(files: list[str]) -> None:
    """Check each rendering."""
    for file in files:
        documents = resources_of(file)
        settings = {
            one["metadata"]["name"]: one["data"] for one in documents if one["kind"] == "ConfigMap"
        }
        for one in documents:
            if one["kind"] == "Deployment":
                check(one, settings)


if __name__ == "__main__":
    main(sys.argv[1:])
