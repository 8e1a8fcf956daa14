"""Checks that each chart of one process, installed alone, names what other releases have.

``check_alone.py HELM``. The release `slipway` makes the Secrets and the users of Kafka, and
`slipway-infra` the servers. A wrong name shows only in the cluster: the pod waits for the Secret.
"""

import re
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

from rendering import Resource, rendered_by

from chassis.installed import service_names

PUBLIC_URL = "global.publicUrl=https://shop.example.com"
OPERATORS = (
    "global.database.host=slipway-infra-postgres-rw,global.kafka.strimziCluster=slipway-infra,"
    "global.kafka.bootstrapServers=slipway-infra-kafka-bootstrap:9093"
)
# For each kind of servers: the arguments for slipway-infra, and the values of the others.
MODES: dict[str, tuple[list[str], str]] = {
    "development": ([], "global.environment=development"),
    "operators": (["--values", "helm/slipway-infra/values-production.yaml"], OPERATORS),
}
# The values that docs/kubernetes.md gives beside the name and the Secret of the database.
OWN = {
    "users": "accounts=true,totp.existingSecret=slipway-totp",
    "notifications": "unsubscribe.enabled=true,unsubscribe.existingSecret=slipway-unsubscribe,"
    "webhooks.enabled=true,webhooks.existingSecret=slipway-webhooks",
}
MADE = re.compile(r"--(?:password|keys)=([^/]+)")
SERVERS = ("DATABASE_URL", "VALKEY_URL", *(f"{name.upper()}_URL" for name in service_names()))


def rendered(helm: str, release: str, chart: str, *arguments: str) -> list[Resource]:
    """Return what Helm renders of a chart as this release."""
    command = [helm, "template", release, f"helm/{chart}", "--kube-version", "1.34.0"]
    return rendered_by([*command, *arguments])


def alone(helm: str, values: str, user: str) -> Iterator[tuple[str, list[Resource]]]:
    """Yield name and rendering of each service and of the gateway, each as a release of its own."""
    values += f",{PUBLIC_URL},global.auth.existingSecret=slipway-keys"
    for name in service_names():
        own = f"name={name},database.existingSecret=slipway-{name}-database"
        own += "".join(f",{each}" for each in (OWN.get(name), user.format(name)) if each)
        yield name, rendered(helm, name, "service", "--set", f"{values},{own}")
    own = ",".join(f"upstreams.{name}=http://{name}:8000" for name in service_names())
    own += "".join(f",{each}" for each in (user.format("gateway"),) if each)
    yield "gateway", rendered(helm, "gateway", "gateway", "--set", f"{values},{own}")


def secrets_made(resources: list[Resource]) -> Iterator[str]:
    """Yield the Secrets that releases, their jobs, and operators make."""
    for one in resources:
        name = one["metadata"]["name"]
        match one["kind"], one["apiVersion"].partition("/")[0]:
            case ("Secret", _) | ("KafkaUser", _):
                yield name
            case ("Cluster", "postgresql.cnpg.io"):
                yield f"{name}-superuser"
            case ("Kafka", _):
                yield f"{name}-cluster-ca-cert"
            case ("Job", _):
                pod = one["spec"]["template"]["spec"]
                for container in pod.get("initContainers", ()):
                    yield from (
                        found[1] for each in container["args"] if (found := MADE.match(each))
                    )


def services_made(resources: list[Resource]) -> Iterator[str]:
    """Yield the names of Services of charts and operators."""
    for one in resources:
        name = one["metadata"]["name"]
        match one["kind"], one["apiVersion"].partition("/")[0]:
            case ("Service", _):
                yield name
            case ("Cluster", "postgresql.cnpg.io"):
                yield f"{name}-rw"
            case ("Kafka", _):
                yield f"{name}-kafka-bootstrap"


def secrets_named(value: object) -> Iterator[str]:
    """Yield the Secrets that a resource mounts or reads."""
    if isinstance(value, dict):
        if isinstance(secret := value.get("secret"), dict):
            yield secret.get("name") or secret["secretName"]
        if isinstance(entry := value.get("secretKeyRef"), dict):
            yield entry["name"]
        for each in value.values():
            yield from secrets_named(each)
    elif isinstance(value, list):
        for each in value:
            yield from secrets_named(each)


def servers_named(resources: list[Resource]) -> Iterator[str]:
    """Yield the hosts that the settings name."""
    for one in resources:
        if one["kind"] == "ConfigMap":
            for name in SERVERS:
                if url := one["data"].get(name):
                    yield urlsplit(url).hostname or ""
            yield one["data"]["KAFKA_BOOTSTRAP_SERVERS"].partition(":")[0]


def main(helm: str) -> str | None:
    """Return what is wrong, or None."""
    for mode, (arguments, values) in MODES.items():
        user = "kafka.existingUser=slipway-{}-kafka" if "strimziCluster" in values else ""
        releases = rendered(helm, "slipway-infra", "slipway-infra", *arguments)
        releases += rendered(helm, "slipway", "slipway", "--set", f"{values},{PUBLIC_URL}")
        secrets = set(secrets_made(releases))
        processes = dict(alone(helm, values, user))
        every = [one for resources in processes.values() for one in resources]
        services = set(services_made([*releases, *every]))
        for name, resources in processes.items():
            if missing := set(secrets_named(resources)) - secrets:
                return f"{mode}: {name} alone reads {sorted(missing)}, Secrets that nothing makes."
            if missing := set(servers_named(resources)) - services:
                return f"{mode}: {name} alone calls {sorted(missing)}, which are no Services."
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
