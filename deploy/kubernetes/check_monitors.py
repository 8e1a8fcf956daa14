"""Checks what Prometheus' operator and KEDA make of the renderings.

``check_monitors.py FILE.yaml …``. The label `job` of each process is its name, on which the rules
and dashboards depend. The alerts of the gateway are about the gateway's pods alone. Workers stay if
nobody measures them.
"""

import re
import sys
from collections.abc import Iterable

from rendering import Resource, resources_of

from chassis.installed import service_names

PROCESSES = {"gateway", *(f"{name}{kind}" for name in service_names() for kind in ("", "-worker"))}
OF_THE_GATEWAY = {"SlipwayErrors", "SlipwayMissing"}
POD_LABEL = "__meta_kubernetes_pod_label_"
POD = "{}-5d9c7b6f4-x2b4k"


def job(rules: Iterable[Resource], labels: dict[str, str]) -> str:
    """Return the label that relabeling gives to a pod."""
    found = {POD_LABEL + re.sub(r"[^A-Za-z0-9]", "_", name): text for name, text in labels.items()}
    for rule in rules:
        source = ";".join(found.get(name, "") for name in rule["sourceLabels"])
        if match := re.fullmatch(rule.get("regex", "(.*)"), source):
            found[rule["targetLabel"]] = match.expand(
                rule.get("replacement", "$1").replace("$", "\\")
            )
    return found.get("job", "that of the PodMonitor")


def jobs(resources: list[Resource]) -> set[str]:
    """Return the label `job` of each process."""
    pods = [
        one["spec"]["template"]["metadata"]["labels"]
        for one in resources
        if one["kind"] == "Deployment"
    ]
    return {
        job(one["spec"]["podMetricsEndpoints"][0].get("relabelings", ()), labels)
        for one in resources
        if one["kind"] == "PodMonitor"
        for labels in pods
        if one["spec"]["selector"]["matchLabels"].items() <= labels.items()
    }


def missed(resources: list[Resource]) -> str | None:
    """Return which pods the alerts of the gateway are about, unless these are the gateway's."""
    names = {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"]
        for one in resources
        if one["kind"] == "Deployment"
    }
    for rules in (
        one["spec"]["groups"][0]["rules"] for one in resources if one["kind"] == "PrometheusRule"
    ):
        for rule in rules:
            patterns = re.findall(r'pod=~"([^"]+)"', rule["expr"])
            found = {
                labels["app.kubernetes.io/name"]
                for name, labels in names.items()
                if all(re.fullmatch(pattern, POD.format(name)) for pattern in patterns)
            }
            if rule["alert"] in OF_THE_GATEWAY and found != {"gateway"}:
                return f"{rule['alert']} is about the pods of {sorted(found)}, not the gateway's"
    return None


def removed_unmeasured(resources: Iterable[Resource]) -> str | None:
    """Return which workers KEDA would remove when Prometheus has no figures of them, or None."""
    for one in resources:
        if one["kind"] == "ScaledObject":
            figures = [each["metadata"] for each in one["spec"]["triggers"]]
            # A trigger that fails makes KEDA fall back to the present number.
            if all(each.get("ignoreNullValues") != "false" for each in figures):
                return f"without figures KEDA would remove workers of {one['metadata']['name']}"
    return None


def main(files: list[str]) -> str | None:
    """Return what is wrong, or None."""
    for file in files:
        resources = resources_of(file)
        if (found := jobs(resources)) != PROCESSES:
            return f"{file}: Prometheus knows {sorted(found)}, not {sorted(PROCESSES)}."
        if fault := missed(resources) or removed_unmeasured(resources):
            return f"{file}: {fault}."
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
