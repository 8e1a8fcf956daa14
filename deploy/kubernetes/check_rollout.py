"""Checks that a rollout of each rendered Deployment of ours can't drop a request.

``check_rollout.py FILE.yaml …``: the new pod comes before the old one goes, the old one serves
while its address is still known, and the kubelet waits for its last request.
"""

import sys
from typing import Any

from rendering import resources_of

from gateway.connecting import ADDRESS_SECONDS

DNS_SECONDS = 30  # the TTL of records in kubeadm's CoreDNS, which caches for as long
CLOSE_SECONDS = 10


def fault(deployment: dict[str, Any], settings: dict[str, str]) -> str | None:
    """Return what is wrong with a Deployment, or None."""
    spec = deployment["spec"]
    if spec["strategy"]["rollingUpdate"] != {"maxSurge": 1, "maxUnavailable": 0}:
        return f"its rollout is {spec['strategy']}"
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    serves = any(port["name"] == "http" for port in container["ports"])
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if serves and sleep <= DNS_SECONDS + ADDRESS_SECONDS:
        return f"preStop is {sleep} s; an address may be used for {DNS_SECONDS + ADDRESS_SECONDS} s"
    needed = sleep + int(settings["SHUTDOWN_TIMEOUT"]) + CLOSE_SECONDS
    if pod["terminationGracePeriodSeconds"] < needed:
        return f"its grace period is {pod['terminationGracePeriodSeconds']} s and must be {needed}"
    probes = {container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")}
    if probes != {"/healthz/live", "/healthz/ready"}:
        return f"its probes are {probes}"
    if pod.get("readinessGates") and container["args"] != ["gateway"]:
        return f"it waits for {pod['readinessGates']}, which a load balancer sets on the gateway's"
    return None


def main(files: list[str]) -> str | None:
    """Return what is wrong, or None."""
    checked = 0
    for file in files:
        documents = resources_of(file)
        maps = {one["metadata"]["name"]: one for one in documents if one["kind"] == "ConfigMap"}
        for one in documents:
            if one["kind"] != "Deployment" or "traces" in one["metadata"]["name"]:
                continue
            source = one["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]
            settings = maps[source["configMapRef"]["name"]]["data"]
            if found := fault(one, settings):
                return f"{file}: {one['metadata']['name']}: {found}."
            checked += 1
    return None if checked else "No Deployment was checked. Render a chart."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
